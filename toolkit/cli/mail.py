"""The commands that meet a maintainer's mail: ``series import`` and ``b4-check``."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from toolkit.cli import open_run, options
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.


@click.command("import")
@click.argument("mbox")
@click.option("--version", "-v", type=click.IntRange(1), help="Which; default: the newest.")
@click.option("--name", default="", metavar="TOPIC/VERSION", help="Default: after the title.")
@click.option("--base", default="6.12", show_default=True, help="The kernel it is for.")
@click.option("--suite", "-s", "suites", multiple=True, help="A suite that tests it.")
@click.option(
    "--trailers", is_flag=True, help="Add the Reviewed-by: and other trailers that replies gave."
)
@click.pass_obj
def series_import(
    root: Path | None,
    /,
    *,
    mbox: str,
    version: int | None,
    name: str,
    base: str,
    suites: tuple[str, ...],
    trailers: bool,
) -> None:
    """Take a series out of MBOX into patches/.

    MBOX is what `b4 am` or `b4 mbox` wrote, or any thread that was saved, a Maildir, a folder, a
    quilt series, - for standard input, a message-id or its URL, whose thread is then fetched, or
    git:PATH@A..B: replies are left out, and of several versions the newest is taken.
    """
    from toolkit.core import paths
    from toolkit.series import catalog, importer
    from toolkit.workflow import series_check

    own = paths.resolve(root)
    files = importer.read(mbox, version, base)
    fit = series_check.fit(catalog.bare("it", files), base, own.cache)
    wanted = suites or fit.suites
    new = importer.write(files, own.patches, name=name, base=base, suites=wanted, trailers=trailers)
    lines = catalog.describe(new, own.patches)
    lines += [catalog.trailer_line(each) for each in files.posting.trailers if not trailers]
    lines += [*files.notices, *fit.words]
    if not wanted:
        lines.append("it names no suite: give one with --suite, here or when you test it")
    for line in lines:
        click.echo(printable(line))
    click.echo(f"test it with: toolkit build-and-test --patch {new}")


@click.command("b4-check")
@click.argument("what", type=click.Choice(["series", "patch"]))
@click.option(
    "--mbox",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The thread, where b4 does not track the series.",
)
@options.RUN
@options.MACHINE
@options.TESTS
@click.pass_obj
def b4_check(root: Path | None, /, *, what: str, mbox: Path | None, **given: Any) -> None:
    """Answer b4's review checks: a mail on standard input, JSON on standard output.

    \b
    git config b4.review-series-check-cmd "toolkit b4-check series --suite kvm"
    git config b4.review-perpatch-check-cmd "toolkit b4-check patch"
    """
    from toolkit.core.errors import ToolkitError
    from toolkit.report import b4
    from toolkit.series import sources

    try:
        message = sources.standard_input()
        check = _check_series if what == "series" else _check_patch
        answers = check(root, message, mbox, given)
    except ToolkitError as error:
        answers = b4.of_error(error)
    click.echo(b4.to_json(answers))


def _check_series(
    root: Path | None, message: bytes, mbox: Path | None, given: dict[str, Any]
) -> list[Any]:
    from toolkit.core.errors import ToolkitError
    from toolkit.report import artifacts, b4
    from toolkit.series import importer
    from toolkit.workflow import pipeline

    mail = b4.read_message(message)
    folder = given["run_dir"] = open_run.folder(root, mail.subject, given.get("run_dir"))
    tracking = os.environ.get("B4_TRACKING_FILE")
    thread = b4.thread(message, mbox, Path(tracking) if tracking else None, folder)
    files = b4.series_of(mail, thread)
    patches = folder / f"{importer.slug(files.title)}-v{mail.headers.tags.version}.mbox"
    patches.write_bytes(importer.to_mbox(files))
    words = _repeatable(patches)
    # What goes wrong is part of the result.
    opened = open_run.open_run(root, str(patches), given, command=words)
    with contextlib.suppress(ToolkitError), opened as (run, _):
        pipeline.build_and_test(run)
    return b4.of_result(artifacts.read_result(folder), folder)


def _repeatable(patches: Path) -> tuple[str, ...]:
    """Return the command that does the same by hand: build-and-test with the options given."""
    words = open_run.repeatable(sys.argv)
    at = words.index("b4-check")
    kept = list(words[at + 2 :])
    if "--mbox" in kept:
        del kept[kept.index("--mbox") : kept.index("--mbox") + 2]
    kept = [word for word in kept if not word.startswith("--mbox=")]
    return (*words[:at], "build-and-test", "--patch", str(patches), *kept)


def _check_patch(
    root: Path | None, message: bytes, _: Path | None, given: dict[str, Any]
) -> list[Any]:
    from toolkit.report import b4
    from toolkit.series import checkpatch

    mail = b4.read_message(message)
    with open_run.open_run(root, None, given) as (run, _finish):
        return b4.of_checkpatch(checkpatch.check(mail.content, run.base.path, run.deadline))
