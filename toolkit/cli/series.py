"""``toolkit series``: the commands that look at series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from toolkit.cli import mail, open_run, options
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.


@click.group()
def series() -> None:
    """Look at the carried series."""


@series.command("list")
@click.pass_obj
def series_list(root: Path | None) -> None:
    """List the series in patches/."""
    from toolkit.core import paths
    from toolkit.series import catalog as series_

    for line in series_.list_series(paths.resolve(root).patches):
        click.echo(printable(line))


@series.command("show")
@click.argument("name", shell_complete=options.complete_series)
@options.VERSION
@click.pass_obj
def series_show(root: Path | None, /, name: str, series_version: int | None) -> None:
    """Show a series: its patches, its needs, and what it says of its base and where it was sent."""
    from toolkit.core import paths
    from toolkit.series import catalog as series_

    for line in series_.describe(name, paths.resolve(root).patches, series_version):
        click.echo(printable(line))


@series.command("check")
@click.argument("name", shell_complete=options.complete_series)
@options.RUN
@click.pass_obj
def series_check(root: Path | None, /, name: str, **given: Any) -> None:
    """Check each patch: checkpatch --strict, its build, and what W=1, sparse and coccinelle add.

    Without --toolchain each is built with gcc and, where it is installed, with clang.
    """
    from toolkit.kernel.toolchain import CLANG
    from toolkit.workflow import series_check

    others = () if given["toolchain"] else (CLANG,)
    with open_run.open_run(root, name, given) as (run, _):
        aimed = [replace(each, triplet=run.arch.cross) for each in others]
        table = series_check.check(run, aimed)
    for line in table.lines():
        click.echo(printable(line))
    click.get_current_context().exit(table.exit_code)


series.add_command(mail.series_import)
