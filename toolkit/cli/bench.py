"""The commands of ``toolkit bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolkit.cli import open_run, options
from toolkit.core.errors import EXIT_KERNEL

# Everything else is imported where it is used: `toolkit --help` must not wait for it.

_BENCHMARK = click.Path(exists=True, path_type=Path)
_IMAGE_WITH_QEMU, _IMAGE = "nested", "minimal"


@click.group()
def bench() -> None:
    """Measure what a doorbell costs, and compare measurements."""


@bench.command()
@options.PATCH
@options.RUN
@click.option("--image", help="Default: nested, or minimal when no row needs a QEMU in the guest.")
@click.option(
    "--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True
)
@options.SAVED
@click.option(
    "--clock",
    type=click.Choice(["insn", "wall"]),
    help="Count instructions (default under TCG), or take the time (default under KVM).",
)
@click.option(
    "--where",
    type=click.Choice(["guest", "host"]),
    default="guest",
    show_default=True,
    help="host: on this machine's own /dev/kvm; the rows of the series are left out.",
)
@click.option("--runs", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--rounds", type=click.IntRange(1, 1000), help="Batches of each row in a run; default: 15."
)
@click.option("--row", "-r", "rows", multiple=True, metavar="GLOB", help="Only these rows.")
@click.option("--figure/--no-figure", default=True, help="Draw it, if matplotlib is there.")
@click.pass_obj
def doorbell(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Measure each way from a guest's doorbell to whoever counts the rings.

    Leaves bench.json, and doorbell.svg and .png, in the run folder. Exit code 1 when rings get
    lost. docs/doorbell.md says what the rows are.
    """
    from toolkit.bench import baseline_file, table
    from toolkit.bench import runner as bench_
    from toolkit.bench.samples import INSN, WALL
    from toolkit.report.terminal import printable

    plan = bench_.Plan(
        clock=given["clock"] or "",
        where=given["where"],
        runs=given["runs"],
        rounds=given["rounds"] or 15,
        rows=given["rows"],
    )
    if plan.where == bench_.HOST:
        plan = plan.on(given["clock"] or WALL)
    given["image"] = given["image"] or (_IMAGE_WITH_QEMU if plan.with_qemu else _IMAGE)
    given["suites"] = (*given["suites"], bench_.SUITE)
    if plan.clock == INSN and given["accel"] == "auto":
        given["accel"] = "tcg"
    with open_run.open_run(root, patch, given) as (run, _):
        if not plan.clock:
            plan = plan.on(bench_.default_clock(run))
        result = bench_.measure(run, plan)
        baseline_file.write(run.folder / baseline_file.FILE, result)
        if given["figure"]:
            _draw(run.folder, result, run.observer.notice)
    for line in table.table(result):
        click.echo(printable(line))
    click.echo(f"\n{run.folder / baseline_file.FILE}")


def _draw(folder: Path, result: Any, notice: Any) -> None:
    from toolkit.bench import figure
    from toolkit.core.errors import InfrastructureError

    try:
        figure.draw(result, folder)
    except InfrastructureError as error:
        notice(f"{error.what}: {error.hint}")


@bench.command()
@click.argument("before", type=_BENCHMARK)
@click.argument("after", type=_BENCHMARK)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    metavar="PERCENT",
    help="How much a row may grow.",
)
@click.option("--row", "-r", "rows", multiple=True, metavar="GLOB", help="Only these rows.")
@click.pass_context
def compare(
    context: click.Context, before: Path, after: Path, tolerance: float, rows: tuple[str, ...]
) -> None:
    """Say which rows moved by more than their spread from BEFORE to AFTER.

    Each is a bench.json or a run folder. Exit code 1 when a row is gone or has grown by more than
    the tolerance, too.
    """
    from toolkit.bench import baseline_file, samples, table
    from toolkit.report.terminal import printable

    old, new = baseline_file.read(before), baseline_file.read(after)
    moves = samples.compare(old, new, rows)
    for line in table.comparison(old, new, moves, tolerance / 100):
        click.echo(printable(line))
    if any(move.regressed(tolerance / 100) for move in moves):
        context.exit(EXIT_KERNEL)


@bench.command()
@click.argument("benchmark", type=_BENCHMARK)
@click.option(
    "--figure",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Draw it into this folder.",
)
def show(benchmark: Path, figure: Path | None) -> None:
    """Print the table of a bench.json again."""
    from toolkit.bench import baseline_file, table
    from toolkit.bench import figure as drawing
    from toolkit.report.terminal import printable

    result = baseline_file.read(benchmark)
    for line in table.table(result):
        click.echo(printable(line))
    if figure:
        for path in drawing.draw(result, figure):
            click.echo(path)
