"""The command that shows many runs at once: ``site``."""

from __future__ import annotations

from pathlib import Path

import click

# Everything else is imported where it is used: `toolkit --help` must be quick.


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--history",
    "histories",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A history.sqlite to show instead of this user's; give it again to merge several.",
)
@click.option("--title", default="Kernel tests over time", show_default=True, help="Its heading.")
@click.option(
    "--reports",
    default=30,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Copy the reports of the last N runs, where their folders are on this host.",
)
@click.pass_obj
def site(
    root: Path | None, /, folder: Path, histories: tuple[Path, ...], title: str, reports: int
) -> None:
    """Write a page that shows all runs over time into DIR.

    It has series, kernels, every case with its record, flake rates, stage times, the slowest
    programs and what changed last. It needs no server and no network: open DIR/index.html.
    """
    from datetime import UTC, datetime

    from toolkit.core import paths
    from toolkit.core.deadline import Deadline
    from toolkit.core.errors import InfrastructureError, UserError
    from toolkit.report.site import archive, page
    from toolkit.report.site import folder as folder_

    own = paths.resolve(root).history
    if not histories and not own.exists():
        raise UserError("no run has been recorded yet", hint="run toolkit build-and-test first")
    read = archive.read(
        histories or (own,),
        Deadline.after(120),
        fault=UserError if histories else InfrastructureError,
    )
    folder_.claim(folder)
    links = folder_.copy_reports(folder, read.runs, reports)
    content = page.render(read, title=title, now=datetime.now(UTC), reports=links)
    click.echo(folder_.write(folder, content))
