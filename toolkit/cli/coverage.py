"""The commands about which lines of a series ran: ``coverage merge``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli import options

if TYPE_CHECKING:
    from toolkit.testing.coverage_merge import Part

# Everything else is imported where it is used: `toolkit --help` must be quick.


@click.group()
def coverage() -> None:
    """Join what several runs with --coverage have seen."""


@coverage.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1)
@click.option(
    "--fail-under",
    "wanted",
    type=options.Number(0, 100),
    metavar="PERCENT",
    help="Exit with 1 if fewer of the lines were run in all of the runs together.",
)
@click.pass_obj
def merge(root: Path | None, /, runs: tuple[str, ...], wanted: float | None) -> None:
    """Show which lines of one series were run in any of several runs.

    Each RUN is a run folder, a part of its name, or "last", of a run with --coverage: of another
    architecture, profile or suite.
    """
    from dataclasses import replace

    from toolkit.core import paths
    from toolkit.core.errors import KernelError
    from toolkit.report import coverage_view, terminal_summary
    from toolkit.testing import coverage_merge

    if len(runs) < 2:
        raise click.UsageError("name two runs at least")
    parts = _parts(runs, paths.resolve(root).runs)
    merged = replace(coverage_merge.merge(parts), wanted=wanted)
    about = f"{parts[0].series}: {', '.join(part.label for part in parts)}"
    terminal_summary.coverage(merged, about)
    if shortfall := coverage_view.below(merged):
        raise KernelError(shortfall)


def _parts(runs: tuple[str, ...], folder: Path) -> list[Part]:
    """Return the coverage of each run, labelled by its architecture, and else by its folder."""
    from toolkit.core.errors import UserError
    from toolkit.report import artifacts, history
    from toolkit.testing.coverage_merge import Part

    places = [history.locate(name, folder).resolve() for name in runs]
    if twice := [place for place, times in Counter(places).items() if times > 1]:
        raise UserError(f"{twice[0]} is named twice")
    results = [artifacts.read_result(place) for place in places]
    architectures = Counter(result.environment.architecture for result in results)
    parts = []
    for place, result in zip(places, results, strict=True):
        if result.coverage is None:
            raise UserError(
                f"{place}: this run has no coverage", hint="run it again with --coverage"
            )
        architecture = result.environment.architecture
        label = architecture if architectures[architecture] == 1 else place.name
        parts.append(Part(label or place.name, result.series, result.patches, result.coverage))
    return parts
