"""Which modules of a large configuration are built: what somebody asks for and a series touches.

A distribution's configuration has four thousand modules. A run loads those that its suites, series
and options ask for and that the series changes, with what these depend on; all others are left out
unless the caller wants them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from toolkit.core.model.series import PatchedTree

_ASSIGNMENT = re.compile(
    r"^[ \t]*(?P<goal>[\w-]+?)-(?P<kind>y|m|objs|\$[({](?P<option>CONFIG_\w+)[)}])[ \t]*"
    r"[:+?]?=[ \t]*(?P<parts>.*)$",
    re.MULTILINE,
)
_MAKEFILES = ("Kbuild", "Makefile")
# virt/kvm has no Makefile of its own: virt/kvm/Makefile.kvm is included by each arch's kvm folder.
_BUILT_FROM = {"virt/kvm": "arch/{srcarch}/kvm"}


def folder_that_builds(folder: str, srcarch: str) -> str:
    """Return the folder whose Makefile compiles the C files in ``folder`` of a tree."""
    return _BUILT_FROM.get(folder, folder).format(srcarch=srcarch)


def touched(tree: PatchedTree, srcarch: str) -> frozenset[str]:
    """Return the options (CONFIG_…) whose objects are compiled from C files of the series.

    That is what the Makefile beside each file says; where it says nothing of a file, which may be
    included by another one, all of that folder's options count.
    """
    options: set[str] = set()
    for name, file in tree.files.items():
        path = PurePosixPath(name)
        if path.suffix not in (".c", ".S") or file.content is None:
            continue
        makefile = _makefile(tree, folder_that_builds(str(path.parent), srcarch))
        options |= options_of(makefile, path.stem) or options_of(makefile)
    return frozenset(options)


def options_of(makefile: str, stem: str = "") -> set[str]:
    """Return the options on which a Makefile builds ``stem``.o, alone or as a part; else all."""
    goals: dict[str, set[str]] = {}  # what is made: the options it is made on
    parts: dict[str, set[str]] = {}  # object's stem: what it goes into
    for match in _ASSIGNMENT.finditer(makefile.replace("\\\n", " ")):
        objects = {
            posixpath.basename(word).removesuffix(".o")
            for word in match["parts"].partition("#")[0].split()
            if word.endswith(".o")
        }
        option = {match["option"]} if match["option"] else set[str]()
        for each in objects:
            if match["goal"] == "obj":
                goals.setdefault(each, set()).update(option)
            else:
                parts.setdefault(each, set()).add(match["goal"])
    if not stem:
        return set().union(*goals.values()) if goals else set()
    wanted, seen = {stem}, set[str]()
    while wanted - seen:
        each = (wanted - seen).pop()
        seen.add(each)
        wanted |= parts.get(each, set())
    return {option for each in seen for option in goals.get(each, ())}


def _makefile(tree: PatchedTree, folder: str) -> str:
    """Return the text of a folder's Kbuild or Makefile; "" where it has none."""
    for name in (f"{folder}/{each}" for each in _MAKEFILES):
        if file := tree.files.get(name):
            if file.content is not None:
                return file.content.decode(errors="replace")
        elif (path := tree.base.path / name).is_file():
            return path.read_text(errors="replace")
    return ""


def needed(
    config: Mapping[str, str], wanted: Collection[str], guards: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Return the modules of ``config`` to build: ``wanted``, and what these may depend on.

    ``guards`` has the options in each option's dependencies.
    """
    keep: set[str] = set()
    left = list(wanted)
    while left:
        option = left.pop()
        if option not in keep:
            keep.add(option)
            left += guards.get(option, ())
    return frozenset(option for option in keep if config.get(option) == "m")


def without(config: Mapping[str, str], keep: Collection[str]) -> list[str]:
    """Return the modules of ``config`` that are not in ``keep``, sorted."""
    return sorted(option for option, value in config.items() if value == "m" and option not in keep)
