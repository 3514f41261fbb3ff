"""Selftest suites: find them, build them against a patched tree, list their programs.

A suite is a folder in the form of the kernel's own ``tools/testing/selftests``: a Makefile that
includes the tree's lib.mk, ``config`` with the options it needs, ``settings`` with its timeout.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit import process
from toolkit.cache import digest
from toolkit.deadline import Deadline
from toolkit.errors import ToolFailedError, UserError
from toolkit.kbuild import Builder, explain_failure, part_of
from toolkit.kconfig import parse_fragment
from toolkit.model import BuiltSuite, Fragment, KernelBuild, PatchedTree, TestProgram

DEFAULT_TIMEOUT = 45.0  # seconds: what the kernel's selftests/kselftest/runner.sh gives a program
SHARED = "lib"  # C helpers of every suite; no suite itself
# A suite is built from these parts of the tree alone: an edit elsewhere leaves it as it is.
_USED_OF_TREE = re.compile(r"^(tools|scripts|usr)/|(^|/)include/uapi/|^include/linux/compiler")


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite's folder and what its manifest files say."""

    name: str
    path: Path
    timeout: float
    fragment: Fragment


def find(folder: Path, name: str) -> Suite:
    """Return the suite called ``name``; raise :class:`UserError` listing what there is."""
    known = sorted(
        path.parent.name for path in folder.glob("*/Makefile") if path.parent.name != SHARED
    )
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"there is no suite {name!r} in {folder}",
            hint=f"did you mean {near[0]}?" if near else f"there is: {', '.join(known) or 'none'}",
        )
    path = folder / name
    config, settings = path / "config", path / "settings"
    text = config.read_text() if config.exists() else ""
    return Suite(
        name=name,
        path=path,
        timeout=_timeout(settings) if settings.exists() else DEFAULT_TIMEOUT,
        fragment=parse_fragment(text, f"kselftests/{name}/config"),
    )


def _timeout(settings: Path) -> float:
    """Read ``timeout=SECONDS`` as kselftest's runner does; 0 stands for an hour."""
    for number, line in enumerate(settings.read_text().splitlines(), 1):
        key, _, value = line.partition("=")
        if key.strip() != "timeout":
            continue
        try:
            return float(value) or 3600.0
        except ValueError:
            raise UserError(
                f"{settings}:{number}: timeout is {value.strip()!r}",
                hint="write a number of seconds",
            ) from None
    return DEFAULT_TIMEOUT


def build(
    builder: Builder,
    suite: Suite,
    tree: PatchedTree,
    kernel: KernelBuild,
    *,
    log: Path,
    deadline: Deadline,
) -> tuple[BuiltSuite, bool]:
    """Build a suite against the tree's headers; return it and whether it was found.

    ``log`` receives the output of make, if it runs. Raises :class:`BuildError` with the
    compiler's lines.
    """
    key = digest(
        _content(suite.path),
        _content(suite.path.parent / SHARED),
        tree.base.key,
        part_of(tree, _USED_OF_TREE),
        builder.compiler(deadline),
    )

    def fill(folder: Path) -> None:
        with builder.work_tree(tree, deadline) as work:
            source = work.source()
            # Keep the objects of the last build: make redoes what an edit calls for.
            objects = work.folder / f"suite-{suite.name}-{digest(str(suite.path))[:8]}"
            objects.mkdir(exist_ok=True)
            argv = [
                *("make", f"-j{builder.jobs}", "-C", str(suite.path)),
                *(f"top_srcdir={source}", f"KSFT={source}/tools/testing/selftests"),
                *(f"KHDR_INCLUDES=-isystem {kernel.headers}/include", f"OUTPUT={objects}"),
                f"ARCH={builder.arch.srcarch}",
            ]
            installed = folder / "installed"
            _make([*argv, "all"], deadline, log)
            _make([*argv, "install", f"INSTALL_PATH={installed}"], deadline, log)
            names = process.run([*argv, "-s", "emit_tests"], deadline=deadline).text
            programs = [line.partition(":")[2] or line for line in names.split()]
            (folder / "programs.json").write_text(json.dumps(programs))

    path, found = builder.cache.make("suite", key, fill, deadline=deadline, label=suite.name)
    programs = tuple(
        TestProgram(suite.name, name, suite.timeout)
        for name in json.loads((path / "programs.json").read_text())
    )
    return BuiltSuite(suite.name, path / "installed", programs), found


def _make(argv: Sequence[str], deadline: Deadline, log: Path) -> None:
    try:
        process.run(argv, deadline=deadline, log=log, merge=True, death_signal="TERM")
    except ToolFailedError as error:
        raise explain_failure(
            log.read_text(errors="replace").splitlines(), log, what="the selftests do not build"
        ) from error


def _content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
