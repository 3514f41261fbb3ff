"""The command that writes a CI's file: ``ci``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from toolkit.cli import options

# Everything else is imported where it is used: `toolkit --help` must be quick.


_PIPELINE = options.several(
    click.option(
        "--patch",
        "-p",
        "series",
        multiple=True,
        required=True,
        metavar="SERIES",
        shell_complete=options.complete_series,
        help="A series in this checkout; give it again for several, each with jobs of its own.",
    ),
    options.KERNEL,
    click.option("--suite", "-s", "suites", multiple=True, help="Default: those the series names."),
    click.option("--profile", default="", metavar="NAME|FILE", help="As of build-and-test."),
    click.option("--image", default="", help="As of build-and-test."),
    options.SLOW,
    click.option(
        "--accel",
        type=click.Choice(["auto", "kvm", "tcg"]),
        default="auto",
        show_default=True,
        help="kvm: fail with exit code 3 on a runner whose KVM does not prove usable.",
    ),
    click.option(
        "--shards",
        default=2,
        show_default=True,
        metavar="N",
        type=click.IntRange(1, 64),
        help="Test jobs of each series; its programs are dealt out to them.",
    ),
    click.option(
        "--runner",
        multiple=True,
        metavar="LABEL",
        help="A label or tag of the runner; GitHub's default: ubuntu-24.04.",
    ),
    click.option(
        "--container",
        default="debian:13",
        show_default=True,
        metavar="IMAGE",
        help="What the jobs run in; none: the runner itself.",
    ),
    click.option(
        "--output",
        "-o",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write it there instead of to standard output.",
    ),
)


@click.command()
@click.argument("system", type=click.Choice(["github", "gitlab"]))
@_PIPELINE
@click.pass_obj
def ci(root: Path | None, /, system: str, output: Path | None, **given: Any) -> None:
    """Write a workflow that builds series and tests them on a CI's runners.

    It sets up the host, makes /dev/kvm usable and proves it, restores and saves the cache and
    ccache, builds, tests in shards, and keeps reports, JUnit and one page over all runs. Exit code
    3, the host's, is tried again; no other is. docs/ci.md says what it needs of a runner.
    """
    from toolkit.core import paths
    from toolkit.core.errors import UserError
    from toolkit.report import wording
    from toolkit.workflow import ci_file

    pipeline = ci_file.Pipeline(**given)
    ci_file.check(pipeline, paths.resolve(root))
    command = wording.portable(("toolkit", *sys.argv[1:]))
    text = ci_file.render(system, pipeline, command)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
    except OSError as error:
        raise UserError(
            f"cannot write {output}: {error.strerror}", hint="name another file"
        ) from error
    click.echo(output)
