"""A run as the command line asks for it: its request, its folder, its display, its end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import options

# Everything else is imported where it is used: `toolkit --help` must not wait for paramiko.
if TYPE_CHECKING:
    from toolkit.core.model.kernel import Fragment
    from toolkit.testing.result_cache import ResultCache
    from toolkit.vm.standby import Standby
    from toolkit.workflow.request import Request
    from toolkit.workflow.run import Run


@contextlib.contextmanager
def open_run(
    root: Path | None,
    patch: str | None,
    given: dict[str, Any],
    command: tuple[str, ...] = (),
    result_cache: ResultCache | None = None,
    *,
    standby: Standby | None = None,
) -> Iterator[tuple[Run, Callable[[Any], None]]]:
    """Yield a run with its folder and display, and a function that shows its result and exits.

    ``command`` repeats the run; by default that is how the toolkit was called. What
    ``result_cache`` has of test programs is not run again; ``standby`` keeps a machine from one run
    to the next.
    """
    import tempfile

    from toolkit.cli import crash
    from toolkit.core import paths
    from toolkit.host import command_log, locks
    from toolkit.report import terminal, terminal_summary
    from toolkit.testing import suite_check
    from toolkit.vm import qmp
    from toolkit.vm.pool import MachinePool
    from toolkit.workflow.run import Run

    if "accel" in given:  # the command is one that starts machines
        qmp.check_folder(tempfile.gettempdir())
    given = options.with_programs(given)
    for name in () if given.get("saved") else given.get("suites", ()):
        suite_check.check_place(name, options.architecture(given.get("arch")))
    request = _request(patch, given, command or repeatable(sys.argv))
    place = folder(root, patch or request.kernel, given.get("run_dir"))
    with crash.described(place), terminal.open_display(sys.stderr) as observer:
        observer.notice(f"run folder: {place}")
        outcome: list[Any] = []
        verbose = observer.notice if given.get("verbose") else None
        with locks.in_use(place), command_log.recorded(place, verbose):
            make_pool = functools.partial(MachinePool, standby=standby)
            where = paths.resolve(root)
            run = Run(
                request, where, place, observer, result_cache=result_cache, make_pool=make_pool
            )
            yield run, outcome.append
    if outcome:
        terminal_summary.summary(outcome[0], place)
        click.get_current_context().exit(outcome[0].exit_code)


def folder(root: Path | None, name: str, wanted: Path | None) -> Path:
    """Return the folder of a run: the one that is wanted, or a new one named after ``name``.

    Raises :class:`UserError` where the one that is wanted cannot be.
    """
    from toolkit.core import paths
    from toolkit.core.errors import UserError

    if wanted is None:
        return paths.new_run_dir(paths.resolve(root).runs, name)
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UserError(
            f"cannot make the run folder {wanted}: {error.strerror}",
            hint="name another one with --run-dir",
        ) from error
    return wanted.absolute()


def _request(patch: str | None, given: dict[str, Any], command: tuple[str, ...]) -> Request:
    from toolkit.core.errors import UserError
    from toolkit.kernel import starting_config, toolchain
    from toolkit.testing.scheduler import Isolation
    from toolkit.workflow.request import Request

    ours = {"patch", "command", "step_summary"}
    fields = {field.name for field in dataclasses.fields(Request)} - ours
    values = {name: value for name, value in given.items() if name in fields and value is not None}
    if "isolation" in values:
        values["isolation"] = Isolation(values["isolation"])
    # Makefiles of the tree spell some with their folder, x86_64/NAME, and install NAME.
    values["tests"] = tuple(PurePosixPath(glob).name for glob in values.get("tests", ()))
    values["options"] = _options(given)
    values["start"] = starting_config.parse(given.get("config") or starting_config.TINY.name)
    values["arch"] = options.architecture(values.get("arch"))
    compiles = "toolchain" in given and not given.get("saved")
    name = given.get("toolchain") or toolchain.GCC.name
    flags = given.get("kcflags") or ""
    values["toolchain"] = toolchain.parse(name, values["arch"], flags) if compiles else None
    values["coverage"] = values.get("coverage", False) or "coverage_fail_under" in values
    if values["coverage"] and patch is None and not values.get("saved"):
        raise UserError("--coverage counts the lines of a series", hint="name one with --patch")
    if values["coverage"] and values["toolchain"] and values["toolchain"].is_clang:
        raise UserError(
            "--coverage needs gcc: gcov does not read what clang's kernels count",
            hint="leave --toolchain out, or name a gcc",
        )
    if values["coverage"] and values.get("each"):
        raise UserError(
            "--coverage counts the lines of the whole series, and --each tests its patches",
            hint="run one after the other",
        )
    if values["coverage"] and values.get("isolation") is Isolation.CASE:
        raise UserError(
            "--coverage counts the lines that each program ran, not each case",
            hint="leave --isolation case out",
        )
    # GitHub's runners name a file whose Markdown they show on the page of the job.
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    return Request(
        patch=patch,
        command=command,
        step_summary=Path(page) if page else None,
        **values,
    )


def _options(given: dict[str, Any]) -> tuple[Fragment, ...]:
    """Return the options of each --profile, and then those of --kconfig."""
    from toolkit.kernel import kconfig, profile

    fragments = [profile.load(name) for name in given.get("profiles", ())]
    if words := given.get("kconfig"):
        fragments.append(kconfig.parse_fragment("\n".join(words), "--kconfig"))
    return tuple(fragments)


def repeatable(argv: list[str]) -> tuple[str, ...]:
    """Return the command as it was given, without the folder that this run wrote into."""
    words, skip = ["toolkit"], False
    for word in argv[1:]:
        if skip:
            skip = False
        elif word == "--run-dir":
            skip = True
        elif not word.startswith("--run-dir="):
            words.append(word)
    return tuple(words)


def once(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that does one time what `toolkit watch` does after each edit."""
    at = words.index("watch")
    rest = (word for word in words[at + 1 :] if word != "--all")
    return (*words[:at], "build-and-test", *rest)
