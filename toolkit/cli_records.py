"""The commands that look back at runs: ``reproduce``."""

from __future__ import annotations

from pathlib import Path

import click

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
    from toolkit import outline, paths, report, runs
    from toolkit import reproduce as reproduce_

    folder = runs.locate(run, paths.resolve(root).runs)
    result = report.read_result(folder)
    chosen = reproduce_.choose(result, leaf)
    program = outline.split(chosen.id)[1] or "boot"
    target = output or Path(f"reproduce-{Path(program).name}")
    click.echo(reproduce_.make(result, reproduce_.recall(folder), chosen, target))
