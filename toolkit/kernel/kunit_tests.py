"""The KUnit tests of a patched tree: its modules that hold some, and the options that build them.

A C file that registers suites (``kunit_test_suites()`` and its kin of include/kunit/test.h) is a
test. The Makefile beside it says which module it goes into and which options that takes; where it
says nothing, another C file includes the test, mostly below an ``#ifdef`` of the test's option.
That is false where the option is a module: such tests can be built in alone.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from toolkit.core.deadline import Deadline
from toolkit.core.model.series import PatchedTree
from toolkit.host import process
from toolkit.host.cache import Cache, digest
from toolkit.kernel import kconfig_explain, module_choice, tree_text
from toolkit.kernel.kconfig_explain import Symbol
from toolkit.kernel.kconfig_parents import NAMED, parts, with_parents

_FORMAT = 2  # of what is found, a part of its key
_REGISTERS = "kunit_test_"  # begins the macros, and some other words
_MACRO = re.compile(r"^[ \t]*kunit_test_(?:init_section_)?suites?\s*\(([^;]{0,4000})", re.M)
_SUITE = re.compile(r"\bstruct\s+kunit_suite\s+(\w+)\s*=\s*\{(.{0,2000}?)\n[ \t]*\}\s*;", re.S)
_NAME = re.compile(r"\.name\s*=\s*(?:\"([^\"\n]*)\"|(KBUILD_MODNAME))")
_CASE = re.compile(r"\bKUNIT_CASE\w*\(\s*(\w+)")
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif)\b(.*)$", re.M)
_OPTION = re.compile(r"\b(CONFIG_[A-Z0-9_]+?)(?:_MODULE)?\b")
# True of an option that is y, and of none that is m.
_BUILT_IN = re.compile(r"\b(?:IS_BUILTIN|defined)\s*\(?\s*(CONFIG_[A-Z0-9_]+)")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*\"([^\"\n]+\.c)\"", re.M)
_CONFIGURES = re.compile(r"(^|/)(Kconfig|Makefile|Kbuild)[^/]*$")
_MAX_BYTES = 4 << 20  # of a C file
_GREP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class TestModule:
    """A module with KUnit tests, or an object of the kernel that they are built into."""

    name: str  # as its object is called: list-test
    suites: tuple[str, ...]  # those whose names can be read in the source
    cases: tuple[str, ...]  # of all suites together
    options: tuple[str, ...]  # CONFIG_…, all of which it takes
    built_in: tuple[str, ...]  # those of them that have to be y
    wishes: Mapping[str, str]  # options and what they depend on, as far as that can be asked for
    wishes_built_in: Mapping[str, str]  # the same, with what ``built_in`` takes
    files: tuple[str, ...]  # that register its suites


@dataclass(frozen=True, slots=True)
class _Needs:
    """What has to be set for a test, and what of that has to be y."""

    options: frozenset[str] = frozenset()
    built_in: frozenset[str] = frozenset()

    def __or__(self, other: _Needs) -> _Needs:
        return _Needs(self.options | other.options, self.built_in | other.built_in)


@dataclass(frozen=True, slots=True)
class Selection:
    """The tests that somebody asks for: ``modules`` have some that ``glob`` matches."""

    glob: str  # SUITE or SUITE.TEST, as kunit.filter_glob takes it
    modules: tuple[TestModule, ...]


def find(
    tree: PatchedTree, srcarch: str, cache: Cache, deadline: Deadline
) -> tuple[TestModule, ...]:
    """Return the modules with KUnit tests that a patched tree can have on an architecture.

    They are sorted by name. The tree is searched once for each base, and what was found is kept
    until the series changes another test, Makefile or Kconfig file.
    """
    base = _of_base(tree, cache, deadline)
    changed = {
        name: digest(file.content or b"")
        for name, file in tree.files.items()
        if name in base
        or _CONFIGURES.search(name)
        or (name.endswith(".c") and b"kunit" in (file.content or b"").lower())
    }

    def fill(folder: Path) -> None:
        names = sorted(base | {name for name in changed if name.endswith(".c")})
        found = _modules(tree, [name for name in names if _here(name, srcarch)], srcarch)
        (folder / "modules").write_text(json.dumps([asdict(each) for each in found]))

    key = digest(_FORMAT, "modules", tree.base.key, srcarch, changed)
    path, _ = cache.make("kunit", key, fill, deadline=deadline, label=tree.base.name)
    return tuple(map(_decoded, json.loads((path / "modules").read_text())))


def _decoded(module: dict[str, Any]) -> TestModule:
    lists = ("suites", "cases", "options", "built_in", "files")
    return TestModule(**{**module, **{name: tuple(module[name]) for name in lists}})


def _of_base(tree: PatchedTree, cache: Cache, deadline: Deadline) -> frozenset[str]:
    """Return the paths of the base's C files that may register suites."""

    def fill(folder: Path) -> None:
        argv = ["grep", "-rlF", "--include=*.c", "-e", f"{_REGISTERS}suite"]
        argv += ["-e", f"{_REGISTERS}init_section_suite", "."]
        limit = deadline.sooner(_GREP_SECONDS)
        # 1: there is none; 2: a file could not be read, a dangling link among them.
        found = process.run(argv, deadline=limit, cwd=tree.base.path, check=False)
        names = sorted(line.removeprefix("./") for line in found.text.splitlines())
        (folder / "files").write_text(json.dumps(names))

    key = digest(_FORMAT, "files", tree.base.key)
    path, _ = cache.make("kunit", key, fill, deadline=deadline, label=tree.base.name)
    return frozenset(json.loads((path / "files").read_text()))


def _here(name: str, srcarch: str) -> bool:
    """Return whether a file can be built on an architecture, by its place."""
    parts = PurePosixPath(name).parts
    return parts[0] not in ("tools", "scripts", "Documentation") and (
        parts[0] != "arch" or parts[1] == srcarch
    )


def _modules(tree: PatchedTree, names: Iterable[str], srcarch: str) -> list[TestModule]:
    needs: dict[str, list[_Needs]] = {}
    files: dict[str, list[str]] = {}
    for name in names:
        text = (tree_text.read(tree, name) or "")[:_MAX_BYTES]
        places = [match.start() for match in _MACRO.finditer(text)]
        if not places:
            continue
        # A driver may end with its own tests, below a condition.
        inside = _condition(text[: places[0]])
        for module, outer in _built_into(tree, name).items():
            needs.setdefault(module, []).append(outer | inside)
            files.setdefault(module, []).append(name)
    symbols = kconfig_explain.symbols(functools.partial(tree_text.read, tree), srcarch)
    found = []
    for module in sorted(files):
        texts = [(tree_text.read(tree, name) or "")[:_MAX_BYTES] for name in files[module]]
        suites = {suite: None for text in texts for suite in _suites(text, module)}
        cases = {case: None for text in texts for case in _CASE.findall(text)}
        options = frozenset().union(*(each.options for each in needs[module]))
        # Where one of its files has tests for a module, the module has tests.
        alone = all(each.built_in for each in needs[module])
        built_in = frozenset().union(*(each.built_in for each in needs[module] if alone))
        found.append(
            TestModule(
                name=module,
                suites=tuple(suites),
                cases=tuple(cases),
                options=tuple(sorted(options)),
                built_in=tuple(sorted(built_in)),
                wishes=with_parents(symbols, options),
                wishes_built_in=with_parents(symbols, options, built_in),
                files=tuple(files[module]),
            )
        )
    return found


def _suites(text: str, module: str) -> Iterator[str]:
    """Yield the names of the suites that a C file defines and registers."""
    registered = {word for found in _MACRO.findall(text) for word in re.findall(r"\w+", found)}
    for variable, body in _SUITE.findall(text):
        name = _NAME.search(body)
        if name and variable in registered:
            yield module.replace("-", "_") if name[2] else name[1]


def _built_into(tree: PatchedTree, name: str) -> dict[str, _Needs]:
    """Return the modules that a C file is compiled into, with what each takes."""
    if modules := _made_by_makefile(tree, name):
        return modules
    for including, condition in _includers(tree, name):
        if modules := _made_by_makefile(tree, including):
            return {module: needs | condition for module, needs in modules.items()}
    return {}


def _made_by_makefile(tree: PatchedTree, name: str) -> dict[str, _Needs]:
    """Return the modules that a C file goes into, as the Makefile beside it says."""
    path = PurePosixPath(name)
    makefile = module_choice.makefile_of(tree, str(path.parent))
    modules = module_choice.modules_of(makefile, path.stem)
    if not modules:
        return {}
    above = module_choice.options_of_folder(tree, str(path.parent))
    return {
        module: _Needs(options | above, module_choice.built_in_alone(makefile, module))
        for module, options in modules.items()
    }


def _includers(tree: PatchedTree, name: str) -> Iterator[tuple[str, _Needs]]:
    """Yield the C files beside or above ``name`` that include it, with what takes it along."""
    folder = PurePosixPath(name).parent
    for place in dict.fromkeys((folder, folder.parent)):
        here = {
            str(path.relative_to(tree.base.path)) for path in (tree.base.path / place).glob("*.c")
        }
        here |= {each for each in tree.files if PurePosixPath(each).parent == place}
        for each in sorted(here):
            text = (tree_text.read(tree, each) or "")[:_MAX_BYTES] if each.endswith(".c") else ""
            for match in _INCLUDE.finditer(text):
                if posixpath.normpath(place / match[1]) == name:
                    yield each, _condition(text[: match.start()])


def _condition(before: str) -> _Needs:
    """Return what the conditions take that are open at the end of a C file's beginning."""
    opened: list[_Needs] = []
    for word, rest in _CONDITION.findall(before):
        if word.startswith("if"):
            opened.append(_needs(word, rest))
        elif word == "endif" and opened:
            opened.pop()
        elif opened:
            opened[-1] = _Needs()
    return functools.reduce(_Needs.__or__, opened, _Needs())


def _needs(word: str, condition: str) -> _Needs:
    """Return what ``#if``, ``#ifdef`` or ``#ifndef`` (``word``) takes to be true."""
    options = frozenset(_OPTION.findall(condition))
    if word == "ifndef":
        return _Needs()
    if word == "ifdef":
        built_in = frozenset(condition.split()) & options
    elif "||" in condition or "!" in condition:
        built_in = frozenset()
    else:
        built_in = frozenset(_BUILT_IN.findall(condition)) & options
    return _Needs(options, built_in)


# --- what a configuration lacks ------------------------------------------------------------


def lacking(
    symbols: Mapping[str, Symbol], config: Mapping[str, str], options: Collection[str]
) -> str:
    """Return in words what a configuration lacks for ``options``: "needs A, which needs B"."""
    for option in options:
        if config.get(option, "n") == "n":
            return f"needs {_chain(symbols, config, option.removeprefix('CONFIG_'))}"
    return ""


def _chain(symbols: Mapping[str, Symbol], config: Mapping[str, str], name: str) -> str:
    """Return what ``name`` needs, and what that needs, down to what nobody else keeps from it."""
    words: list[str] = []
    seen = {name}
    while True:
        places = symbols[name].places if name in symbols else []
        unmet = [kconfig_explain.failing(guards, config, "m") for guards in places]
        if not unmet or not all(unmet):
            break
        part = next(each for guard in unmet[0] for each in parts(guard) if _fails(each, config))
        words.append(part)
        named = NAMED.fullmatch(part)
        if named is None or named[3] or named[2] in seen:
            break
        name = named[2]
        seen.add(name)
    return ", which needs ".join(words or [name])


def _fails(part: str, config: Mapping[str, str]) -> bool:
    return bool(kconfig_explain.failing([part], config, "m"))
