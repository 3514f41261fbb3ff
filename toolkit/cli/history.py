"""The commands that look back at runs: ``reproduce``, ``history`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli import options
from toolkit.core.text import counted, printable

if TYPE_CHECKING:
    from toolkit.report.history import Entry, Point

# Everything else is imported where it is used: `toolkit --help` must be quick.


@click.command()
@click.argument("run")
@click.argument("leaf")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="The new folder; default: reproduce-PROGRAM in this one.",
)
@click.pass_obj
def reproduce(root: Path | None, /, run: str, leaf: str, output: Path | None) -> None:
    """Make a folder that repeats one test on any host with QEMU.

    RUN is a run folder, a part of its name, or "last"; LEAF a test's id, or enough of it. The
    folder has the kernel, an initramfs with the test in it and a script, and needs no toolkit.
    """
    from toolkit.core import paths
    from toolkit.report import artifacts
    from toolkit.report import history as history_
    from toolkit.testing import leaf_ids
    from toolkit.workflow import reproducer as reproduce_

    folder = history_.locate(run, paths.resolve(root).runs)
    result = artifacts.read_result(folder)
    chosen = reproduce_.choose(result, leaf)
    program = leaf_ids.split(chosen.id)[1] or "boot"
    target = output or Path(f"reproduce-{Path(program).name}")
    click.echo(reproduce_.make(result, reproduce_.recall(folder), chosen, target))


@click.command()
@click.argument("leaf", required=False)
@click.option("--stage", metavar="NAME", help="A stage's time instead: build, boot, test …")
@click.option("--series", default="", metavar="NAME", help="Only runs of this series.")
@options.ARCH
@click.option("--limit", "-n", default=30, show_default=True, type=click.IntRange(1))
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plot into this file, too.",
)
@click.pass_obj
def history(
    root: Path | None,
    /,
    *,
    leaf: str | None,
    stage: str | None,
    series: str,
    arch: str | None,
    limit: int,
    svg: Path | None,
) -> None:
    """List the last runs; with LEAF or --stage follow its result and time over them.

    LEAF is a test's id, or enough of it.
    """
    from toolkit.core import paths
    from toolkit.report import history as history_

    if leaf and stage:
        raise click.UsageError("give LEAF or --stage, not both")
    path = paths.resolve(root).history
    which = history_.Which(series, options.architecture(arch).name if arch else None)
    if leaf:
        title = history_.find_leaf(path, leaf)
        points = history_.leaf_points(path, title, limit=limit, which=which)
    elif stage:
        title = f"stage {stage}"
        points = history_.stage_points(path, stage, limit=limit, which=which)
        if not points:
            names = ", ".join(history_.stages(path)) or "none"
            raise click.UsageError(f"no recorded run has a stage {stage!r}; there is: {names}")
    else:
        _list_runs(history_.runs(path, limit=limit, which=which))
        return
    _plot(title, points, svg)


def _plot(title: str, points: list[Point], svg: Path | None) -> None:
    from toolkit.report import charts
    from toolkit.report import history as history_

    plotted = [
        charts.Run(
            f"{_when(point.started)}  {point.series or '-'}",
            point.status,
            point.seconds,
            history_.bad(point),
        )
        for point in points
    ]
    click.echo(printable(title))
    for line in charts.bars(plotted):
        click.echo(line)
    if svg:
        svg.write_bytes(charts.svg(title, plotted))
        click.echo(svg)


def _list_runs(entries: list[Entry]) -> None:
    from toolkit.report.wording import duration

    for entry in entries:
        cases = f"{entry.bad} of {entry.leaves} bad" if entry.bad else counted(entry.leaves, "case")
        subject = " on ".join(filter(None, (entry.series or "unpatched", entry.release)))
        click.echo(
            f"{_when(entry.started)}  {entry.verdict.value:<14}  {duration(entry.seconds):>11}  "
            f"{cases:<16}  {printable(subject)}  {printable(entry.folder.name)}"
        )


@click.command()
@click.argument("before")
@click.argument("after")
@click.pass_obj
def compare(root: Path | None, /, before: str, after: str) -> None:
    """Say what is different between two runs.

    Each is a run folder, a part of its name, or "last".
    """
    from toolkit.core import paths
    from toolkit.report import artifacts
    from toolkit.report import diff_runs as compare_
    from toolkit.report import history as history_

    folder = paths.resolve(root).runs
    one, other = (artifacts.read_result(history_.locate(name, folder)) for name in (before, after))
    for line in compare_.lines(one, other):
        click.echo(line)


def _when(started: str) -> str:
    return started[:16].replace("T", " ")
