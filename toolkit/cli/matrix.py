"""`toolkit matrix`: many runs as one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import crash, open_run
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.
if TYPE_CHECKING:
    from toolkit.core.model.matrix import MatrixResult
    from toolkit.core.paths import Paths
    from toolkit.matrix.cells import Matrix
    from toolkit.report.matrix.display import Display


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "listing", is_flag=True, help="Print the cells, and run none.")
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put results; default: a new folder under the XDG state folder.",
)
@click.option("--fresh", is_flag=True, help="Begin anew, also where a run was interrupted.")
@click.option(
    "--stations",
    type=click.IntRange(1),
    metavar="N",
    help="Jobs that this host does at a time, each on its share of the CPUs; default: one for "
    "every eight of them.",
)
@click.pass_context
def matrix(context: click.Context, /, file: Path, *, listing: bool, **given: Any) -> None:
    """Run the matrix that FILE describes: series, kernels, configurations and suites.

    Each finished piece is stored at once: after ^C, or whatever else ends it, the same command goes
    on from there. docs/matrix.md says what the file may hold, and which hosts can join in.
    """
    from toolkit.core import paths
    from toolkit.matrix import cells, values
    from toolkit.report.matrix import display

    asked, places = cells.load(file), paths.resolve(context.obj)
    values.check(asked, places)
    if listing:
        for line in _listed(asked):
            click.echo(printable(line))
        return
    with crash.described(), display.open_display(sys.stderr) as shown:
        result, folder = _run(asked, file, places, given, shown)
    display.summary(result, folder, sys.stdout)
    context.exit(result.exit_code)


def _run(
    asked: Matrix, file: Path, places: Paths, given: dict[str, Any], shown: Display
) -> tuple[MatrixResult, Path]:
    from toolkit.matrix import run

    _require_dask()
    from toolkit.matrix import cluster

    page = os.environ.get("GITHUB_STEP_SUMMARY")
    wanted = run.Asked(
        file,
        open_run.repeatable(sys.argv),
        given["run_dir"],
        given["fresh"],
        step_summary=Path(page) if page else None,
    )
    return run.run(asked, wanted, places, cluster.of_this_host(given["stations"] or 0), shown)


def _require_dask() -> None:
    import importlib.util

    from toolkit.core.errors import InfrastructureError

    if importlib.util.find_spec("distributed") is None:
        raise InfrastructureError(
            "Dask is not installed, which gives the jobs of a matrix to workers",
            hint="run ./bootstrap toolkit matrix …, or in the checkout pip install '.[matrix]'",
        )


def _listed(asked: Matrix) -> list[str]:
    from toolkit.matrix import cells, jobs

    axes = cells.varying(asked.cells) or ["series", "kernel"]
    rows = [(*axes, "settings")]
    for cell in asked.cells:
        values = (cells.shown(axis, getattr(cell, axis)) for axis in axes)
        rows.append((*values, cells.settings(cell)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    builds = len(jobs.groups(jobs.planned(asked.cells, asked.cells)))
    return [*lines, f"{_count(len(asked.cells), 'cell')}, {_count(builds, 'build')}"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
