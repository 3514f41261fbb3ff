"""Which modules of a large configuration are built: what somebody asks for and a series touches.

A distribution's configuration has four thousand modules. A run loads those that its suites, series
and options ask for and that the series changes, with what these depend on; all others are left out
unless the caller wants them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

from toolkit.core.model.series import PatchedTree
from toolkit.kernel import tree_text

_ASSIGNMENT = re.compile(
    r"^[ \t]*(?P<goal>[\w-]+?)-(?P<kind>y|m|objs|\$[({](?P<option>CONFIG_\w+)[)}])[ \t]*"
    r"[:+?]?=[ \t]*(?P<parts>.*)$",
    re.MULTILINE,
)
_IF_BUILT_IN = re.compile(r"[ \t]*ifeq[ \t]*\([ \t]*\$[({](CONFIG_\w+)[)}],[ \t]*y[ \t]*\)")
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
        makefile = makefile_of(tree, folder_that_builds(str(path.parent), srcarch))
        options |= options_of(makefile, path.stem) or options_of(makefile)
    return frozenset(options)


def options_of(makefile: str, stem: str = "") -> set[str]:
    """Return the options on which a Makefile builds ``stem``.o, alone or as a part; else all."""
    goals, parts = _rules(makefile)
    if not stem:
        return set().union(*goals.values()) if goals else set()
    wanted, seen = {stem}, set[str]()
    while wanted - seen:
        each = (wanted - seen).pop()
        seen.add(each)
        wanted |= {goal for goal, _ in parts.get(each, ())}
    return {option for each in seen for option in goals.get(each, ())}


def modules_of(makefile: str, stem: str) -> dict[str, frozenset[str]]:
    """Return the modules (or built-in objects) that ``stem``.o goes into, as a Makefile says it.

    Each is named without ".o", with all the options that have to be set for it.
    """
    goals, parts = _rules(makefile)
    modules: dict[str, frozenset[str]] = {}
    left, seen = [(stem, frozenset[str]())], set[str]()
    while left:
        each, options = left.pop()
        if each in seen:
            continue
        seen.add(each)
        if each in goals:
            modules[each] = options | goals[each]
        left += [(goal, options | option) for goal, option in sorted(parts.get(each, ()), key=str)]
    return modules


def made_for(makefile: str, options: Collection[str]) -> set[str]:
    """Return what a Makefile builds on one of the ``options``, each named without ".o"."""
    goals, _ = _rules(makefile)
    return {goal for goal, its in goals.items() if its & set(options)}


def built_in_alone(makefile: str, goal: str) -> frozenset[str]:
    """Return the options that have to be y for a Makefile to make ``goal``.o.

    That is where it is made within ``ifeq ($(CONFIG_X),y)`` alone.
    """
    opened: list[str] = []
    needed: list[frozenset[str]] = []
    for line in makefile.replace("\\\n", " ").splitlines():
        word = line.split(None, 1)[0] if line.strip() else ""
        if word.startswith("if"):
            match = _IF_BUILT_IN.match(line)
            opened.append(match[1] if match else "")
        elif word == "else" and opened:
            opened[-1] = ""
        elif word == "endif" and opened:
            opened.pop()
        elif goal in _rules(line)[0]:
            needed.append(frozenset(filter(None, opened)))
    return frozenset.intersection(*needed) if needed else frozenset()


def options_of_folder(tree: PatchedTree, folder: str) -> frozenset[str]:
    """Return the options on which kbuild goes into a folder at all, those of the folders above too.

    A Makefile above that does not name it, or names it for several options, says nothing.
    """
    options: set[str] = set()
    path = PurePosixPath(folder)
    for above in path.parents:
        named = f"{path.relative_to(above)}/"
        found = {
            option
            for goal, option, words in _assignments(makefile_of(tree, str(above)))
            if goal == "obj" and named in words
        }
        if found:
            options |= {option for option in found if len(found) == 1 and option}
            path = above
    return frozenset(options)


def _rules(
    makefile: str,
) -> tuple[dict[str, set[str]], dict[str, set[tuple[str, frozenset[str]]]]]:
    """Return what a Makefile makes, with its options, and what each object is a part of.

    The second has pairs by the object's stem: what it goes into, and the option for that.
    """
    goals: dict[str, set[str]] = {}
    parts: dict[str, set[tuple[str, frozenset[str]]]] = {}
    for goal, option, words in _assignments(makefile):
        objects = {
            posixpath.basename(word).removesuffix(".o") for word in words if word.endswith(".o")
        }
        options = frozenset({option} if option else ())
        for each in objects:
            if goal == "obj":
                goals.setdefault(each, set()).update(options)
            else:
                parts.setdefault(each, set()).add((goal, options))
    return goals, parts


def _assignments(makefile: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield what each line adds to: its name, its option or "", and the words that are added."""
    for match in _ASSIGNMENT.finditer(makefile.replace("\\\n", " ")):
        words = match["parts"].partition("#")[0].split()
        yield match["goal"], match["option"] or "", words


def makefile_of(tree: PatchedTree, folder: str) -> str:
    """Return the text of a folder's Kbuild or Makefile; "" where it has none."""
    for name in _MAKEFILES:
        if (text := tree_text.read(tree, str(PurePosixPath(folder, name)))) is not None:
            return text
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
