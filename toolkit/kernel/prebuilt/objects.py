"""What kbuild makes of the files in a folder of the tree, and whether that is in a module."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolFailedError
from toolkit.host import process, sandbox

_LISTING = Path(__file__).with_name("objects.mk")
MAKEFILES = ("Kbuild", "Makefile")  # kbuild takes the first that is there


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects that one folder's Makefile names, by their paths in the tree.

    ``modules`` has the objects of each module, whose path is without ``.ko``; ``others`` what is
    made apart from objects, such as host programs and linker scripts, also without a suffix.
    """

    builtin: frozenset[str]
    modules: Mapping[str, frozenset[str]]
    others: frozenset[str]


def listed(
    source: Path, output: Path, folder: str, srcarch: str, deadline: Deadline
) -> Objects | None:
    """Return what the Makefile in ``folder`` of the tree ``source`` makes.

    The configuration is that of the build folder ``output``. None where the Makefile cannot be
    read by itself.
    """
    argv = ["make", "-s", "-r", "-R", "-f", str(_LISTING), f"srctree={source}", f"DIR={folder}"]
    try:
        done = process.run(
            [*argv, f"SRCARCH={srcarch}", "none"],
            cwd=output,
            deadline=deadline,
            inherit=process.CLEAN,
            within=sandbox.confine(readonly=[source, output, _LISTING.parent]),
        )
    except ToolFailedError:
        return None
    return parse(done.text, folder)


def parse(text: str, folder: str) -> Objects:
    """Return what :data:`_LISTING` printed for a folder."""
    builtin: set[str] = set()
    others: set[str] = set()
    modules: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        kind, _, names = line.partition(": ")
        paths = [posixpath.normpath(posixpath.join(folder, name)) for name in names.split()]
        if kind == "y":
            builtin.update(paths)
        elif kind == "m" and paths:
            modules[paths[0].removesuffix(".o")] = frozenset(paths)
        elif kind == "x":
            others.update(posixpath.splitext(path)[0] for path in paths)
            others.update(paths)
    return Objects(frozenset(builtin), modules, frozenset(others))
