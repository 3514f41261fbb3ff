"""The commands of ``toolkit bench``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from toolkit.cli import open_run, options
from toolkit.core.errors import EXIT_KERNEL, InfrastructureError, ToolkitError
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for it.

_BENCHMARK = click.Path(exists=True, path_type=Path)
_ROWS = click.option("--row", "-r", "rows", multiple=True, metavar="GLOB", help="Only these rows.")
_PLAN = options.several(
    click.option(
        "--image", help="Default: the one that the suite's bench.yaml names for the rows."
    ),
    click.option(
        "--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True
    ),
    options.SAVED,
    click.option(
        "--clock",
        type=click.Choice(["insn", "wall"]),
        help="Count instructions (default under TCG), or take the time (default under KVM).",
    ),
    click.option(
        "--where",
        type=click.Choice(["guest", "host"]),
        default="guest",
        show_default=True,
        help="host: on this machine's own kernel; rows that need a patched one are left out.",
    ),
    click.option("--runs", type=click.IntRange(1, 100), default=5, show_default=True),
    click.option(
        "--rounds",
        type=click.IntRange(1, 1000),
        default=15,
        show_default=True,
        help="Batches of each row in a run.",
    ),
    _ROWS,
    click.option("--figure/--no-figure", default=True, help="Draw it, if matplotlib is there."),
)


class _Suites(click.Group):
    """A group that takes what is no command of its own for the name of a suite to measure."""

    def list_commands(self, context: click.Context) -> list[str]:
        from toolkit.bench import manifest
        from toolkit.core import paths

        suites: list[str] = []
        with contextlib.suppress(ToolkitError):
            suites = manifest.names(paths.resolve(context.obj).suites)
        return sorted({*super().list_commands(context), *suites})

    def get_command(self, context: click.Context, name: str) -> click.Command:
        return super().get_command(context, name) or measure


@click.group(cls=_Suites, subcommand_metavar="SUITE|COMMAND [OPTIONS]...")
def bench() -> None:
    """Measure what a suite's programs print, and compare measurements.

    A suite can be measured if it has a bench.yaml.
    """


@click.command()
@options.PATCH
@options.RUN
@_PLAN
@click.pass_context
def measure(context: click.Context, /, patch: str | None, figure: bool, **given: Any) -> None:
    """Measure the rows of this suite.

    Leaves bench.json, and SUITE.svg and .png, in the run folder. Exit code 1 when a row fails.
    docs/doorbell.md describes the rows of the doorbell suite, a suite's source those of others.
    """
    from toolkit.bench import baseline_file, manifest, runner, table
    from toolkit.bench import figure as drawing
    from toolkit.core import paths

    root, suite = context.obj, str(context.info_name)
    about = manifest.load(paths.resolve(root).suites, suite)
    plan = runner.Plan(
        suite=suite,
        about=about,
        arch=options.architecture(given.get("arch")).name,
        clock=given["clock"] or ("wall" if given["where"] == "host" else about.clock),
        **{name: given[name] for name in ("where", "runs", "rounds", "rows")},
    )
    given["image"] = given["image"] or plan.image
    given["suites"] = (*given["suites"], suite)
    if plan.clock == "insn" and given["accel"] == "auto":
        given["accel"] = "tcg"
    with open_run.open_run(root, patch, given) as (run, _):
        result = runner.measure(run, plan)
        baseline_file.write(run.folder / baseline_file.FILE, result)
        if figure:
            try:
                drawing.draw(result, about, run.folder)
            except InfrastructureError as error:  # all else is there
                run.observer.notice(f"{error.what}: {error.hint}")
    _print([*table.table(result, about), "", str(run.folder / baseline_file.FILE)])


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(printable(line))


@bench.command()
@click.argument("before", type=_BENCHMARK)
@click.argument("after", type=_BENCHMARK)
@click.option(
    "--tolerance",
    type=options.Number(min=0),
    default=0.5,
    show_default=True,
    metavar="PERCENT",
    help="How much a row may grow.",
)
@_ROWS
@click.pass_context
def compare(
    context: click.Context, before: Path, after: Path, tolerance: float, rows: tuple[str, ...]
) -> None:
    """Say which rows moved by more than their spread from BEFORE to AFTER.

    Each is a bench.json or a run folder. Exit code 1 when a row is gone or has grown by more than
    the tolerance, too.
    """
    from toolkit.bench import baseline_file, samples, table

    old, new = baseline_file.read(before), baseline_file.read(after)
    moves = samples.compare(old, new, rows)
    _print(table.comparison(old, new, moves, tolerance / 100))
    if any(move.regressed(tolerance / 100) for move in moves):
        context.exit(EXIT_KERNEL)


@bench.command()
@click.argument("benchmark", type=_BENCHMARK)
@click.option(
    "--figure",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Draw it into this folder.",
)
@click.option(
    "--bars", is_flag=True, help="Hold it to the suite's bars; exit code 1 if one is missed."
)
@click.pass_context
def show(context: click.Context, benchmark: Path, figure: Path | None, bars: bool) -> None:
    """Print the table of a bench.json again."""
    from toolkit.bench import baseline_file, manifest, table
    from toolkit.bench import figure as drawing
    from toolkit.core import paths

    result = baseline_file.read(benchmark)
    about = manifest.load(paths.resolve(context.obj).suites, result.suite)
    _print(table.table(result, about))
    if figure:
        for path in drawing.draw(result, about, figure):
            click.echo(path)
    if bars:
        lines, met = table.bars(result, about)
        _print(["", *lines])
        context.exit(0 if met else EXIT_KERNEL)
