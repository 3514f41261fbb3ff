"""`toolkit matrix`: many runs as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.
if TYPE_CHECKING:
    from toolkit.matrix.cells import Matrix


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--list", "listing", is_flag=True, required=True, help="Print the cells, and run none."
)
@click.pass_context
def matrix(context: click.Context, /, file: Path, *, listing: bool) -> None:
    """Run the matrix that FILE describes: series, kernels, configurations and suites.

    docs/matrix.md says what it may hold.
    """
    from toolkit.core import paths
    from toolkit.matrix import cells, values

    asked = cells.load(file)
    values.check(asked, paths.resolve(context.obj))
    assert listing
    for line in _listed(asked):
        click.echo(printable(line))


def _listed(asked: Matrix) -> list[str]:
    from toolkit.matrix import cells

    axes = cells.varying(asked.cells) or ["series", "kernel"]
    rows = [(*axes, "settings")]
    for cell in asked.cells:
        values = (cells.shown(axis, getattr(cell, axis)) for axis in axes)
        rows.append((*values, cells.settings(cell)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [*lines, f"{len(asked.cells)} cells"]
