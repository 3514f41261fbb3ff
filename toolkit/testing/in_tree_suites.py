"""The selftests that a kernel tree brings along: which targets there are, and what they ask for.

A *target* is a folder below ``tools/testing/selftests`` with a Makefile: ``kvm``, ``timers``,
``filesystems/eventfd``. As a suite it is called ``upstream-`` and then its path with hyphens, which
is also what ids and folders are made of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from toolkit.core.arch import Arch
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.series import PatchedTree
from toolkit.core.model.testing import BuiltSuite
from toolkit.kernel.kconfig import parse_config
from toolkit.kernel.tree_text import read
from toolkit.testing import suite_names, verdicts

PREFIX = "upstream:"
SUITE_PREFIX = "upstream-"
FOLDER = "tools/testing/selftests"
# What the build of a target may read of a tree, and a series may therefore change.
READS = re.compile(r"^(tools|scripts|usr)/|\.[hS]$")
MAKEFILE = "Makefile"
_TARGETS = re.compile(r"^TARGETS[ \t]*\+?=[ \t]*(.*)$", re.M)
_GLOB = re.compile(r"[*?\[]")
_EMITTED = re.compile(r"[^:\s]*:(\w[\w.@+-]*)")  # COLLECTION:NAME of emit_tests in lib.mk
_FAILED = re.compile(
    r"\*\*\* (?:\[(?:[^\]]*[ /])?([^\]/ ]+)\] Error |No rule to make target '(?:[^']*/)?([^'/]+)')"
)
_COMMAND = re.compile(r"^((?:[\w-]+-)?(?:gcc|clang)(?:-\d+)? |cc |make(\[\d+\])?: |  [A-Z]+ +\S)")
NO_KERNEL_BUILD = (
    f"{verdicts.NOT_BUILT_HERE}needs a kernel that was built here, as --kernel debian:6.12 is"
)
NO_PROGRAM = "it does not build\nmake installs no such program"
_HEADER_MISSING = re.compile(
    r"fatal error: (\S+): No such file or directory\n *\d+ \| *#\s*include\s*<\1>"
)
_LIBRARY_MISSING = re.compile(r"cannot find -l([\w.+-]+)")
_STANDARD = Path(__file__).with_name("standard.config")
# What pkg-config says, and what alsa's Makefile makes of it.
_PACKAGE_MISSING = re.compile(r"(?:No package '|\*\*\* Package )([\w.+-]+)'? (?:not )?found")
# Headers that a kernel has (make headers_install), and not a library of the host.
_OF_KERNEL = re.compile(r"(?:asm|asm-generic|drm|linux|misc|mtd|rdma|scsi|sound|video|xen)/")
_LIBRARIES = {  # by the header, or by what follows -l
    "sys/capability.h": "libcap",
    "cap": "libcap",
    "cap-ng.h": "libcap-ng",
    "cap-ng": "libcap-ng",
    "numa.h": "libnuma",
    "numaif.h": "libnuma",
    "numa": "libnuma",
    "popt.h": "libpopt",
    "popt": "libpopt",
    "alsa": "ALSA's library",
    "alsa/asoundlib.h": "ALSA's library",
    "asound": "ALSA's library",
    "keyutils.h": "libkeyutils",
    "mnl": "libmnl",
}
_LINES_SHOWN = 12  # of the output about one program


# --- which there are ---------------------------------------------------------------------


def targets(tree: PatchedTree) -> list[str]:
    """Return the paths of all targets below ``tools/testing/selftests``, sorted."""
    root = tree.base.path / FOLDER
    exists = {str(path.parent.relative_to(root)): True for path in root.rglob(MAKEFILE)}
    for name, file in tree.files.items():
        path = Path(name)
        if path.name == MAKEFILE and name.startswith(f"{FOLDER}/"):
            exists[str(path.parent.relative_to(FOLDER))] = file.content is not None
    return sorted(name for name, there in exists.items() if there and name != ".")


def listed(tree: PatchedTree) -> list[str]:
    """Return the targets that ``make kselftest`` knows, sorted.

    That is those in TARGETS of the selftests' own Makefile, those too that it skips by itself.
    """
    lines = _TARGETS.findall(read(tree, f"{FOLDER}/{MAKEFILE}") or "")
    return sorted({word for line in lines for word in line.split()} & set(targets(tree)))


def expand(names: Sequence[str], tree: Callable[[], PatchedTree]) -> tuple[str, ...]:
    """Return suites' names with one for each target where ``upstream:GLOB`` stands.

    Those are of :func:`listed`, and each comes once. ``tree`` is asked for only where there is a
    glob. Raises :class:`UserError` for one that no target fits.
    """
    expanded: list[str] = []
    for name in names:
        if not _is_glob(name):
            expanded.append(name)
            continue
        glob, patched = name.removeprefix(PREFIX), tree()
        existing = listed(patched)
        fitting = [f"{PREFIX}{each}" for each in existing if fnmatchcase(each, glob)]
        if not fitting:
            raise _unknown(patched, glob, (), existing)
        expanded += [each for each in fitting if each not in (*names, *expanded)]
    return tuple(expanded)


def _is_glob(name: str) -> bool:
    return name.startswith(PREFIX) and bool(_GLOB.search(name))


def touched(tree: PatchedTree) -> tuple[str, ...]:
    """Return the targets that a series changes as suites, the innermost of nested ones."""
    folders = [PurePosixPath(name).parents for name in tree.files]
    existing = targets(tree)
    inner = {
        max(fitting, key=len)
        for above in folders
        if (fitting := [t for t in existing if PurePosixPath(FOLDER, t) in above])
    }
    return tuple(f"{PREFIX}{target}" for target in sorted(inner))


def resolve(tree: PatchedTree, wanted: str) -> str:
    """Return the target that ``wanted`` names: its path, or the end of it where that is unique.

    Raises :class:`UserError` with what there is.
    """
    existing = targets(tree)
    if wanted in existing:
        return wanted
    fitting = [name for name in existing if name.endswith(f"/{wanted}")]
    if len(fitting) == 1:
        return fitting[0]
    raise _unknown(tree, wanted, fitting, existing)


def of_suite(tree: PatchedTree, suite: str) -> str:
    """Return the target whose suite has this name; raise :class:`UserError` where none does."""
    existing = targets(tree)
    fitting = [name for name in existing if suite_name(name) == suite]
    if len(fitting) != 1:
        raise _unknown(tree, suite.removeprefix(SUITE_PREFIX), fitting, existing)
    return fitting[0]


def suite_name(target: str) -> str:
    """Return what a target is called as a suite: "upstream-filesystems-eventfd"."""
    return SUITE_PREFIX + target.replace("/", "-")


def chosen(suites: Sequence[BuiltSuite], wanted: Sequence[str]) -> tuple[BuiltSuite, ...]:
    """Return the suites of a saved build that the caller wants: all without a name."""
    return tuple(
        suite
        for suite in suites
        if not wanted or any(_is_called(suite.name, name) for name in wanted)
    )


def _is_called(suite: str, wanted: str) -> bool:
    if not wanted.startswith(PREFIX):
        return suite == suite_names.name_of(wanted)
    end = wanted.removeprefix(PREFIX).replace("/", "-")
    if _is_glob(wanted):
        return fnmatchcase(suite, f"{SUITE_PREFIX}{end}")
    return suite.startswith(SUITE_PREFIX) and suite.endswith(f"-{end}")


def _unknown(
    tree: PatchedTree, wanted: str, fitting: Sequence[str], existing: Sequence[str]
) -> UserError:
    what = "names several" if fitting else "is none"
    names = fitting or difflib.get_close_matches(wanted.strip("*?"), existing, n=3)
    hint = f"did you mean {' or '.join(PREFIX + name for name in names)}?" if names else ""
    top = sorted({name.partition("/")[0] for name in existing})
    return UserError(
        f"{wanted!r} {what} of the selftests in {FOLDER} of {tree.base.name}",
        hint=hint or f"there is: {', '.join(top) or 'none'}",
    )


# --- what one says of itself -------------------------------------------------------------


def config_files(arch: Arch) -> tuple[str, ...]:
    """Return what the files are called that say which options a target wants on an architecture.

    The tree's kselftest-merge takes ``config`` and ``config.$(UTS_MACHINE)``, which is make's ARCH
    or what uname calls the machine; suites of ours go by ``--arch``.
    """
    names = dict.fromkeys((arch.kbuild, arch.machine, arch.name))
    return ("config", *(f"config.{name}" for name in names))


def fragments(tree: PatchedTree, target: str, arch: Arch) -> tuple[Fragment, ...]:
    """Return what the target asks for on an architecture and takes for granted, as wishes."""
    names = [f"{FOLDER}/{target}/{name}" for name in config_files(arch)]
    texts = {name: read(tree, name) for name in names}
    own = (wishes(text, name) for name, text in texts.items() if text is not None)
    return wishes(_STANDARD.read_text(), "what selftests take for granted"), *own


def wishes(config: str, origin: str) -> Fragment:
    """Return the options in the text of a target's ``config``, as wishes."""
    return Fragment(origin, parse_config(config), soft=True)


def settings(tree: PatchedTree, target: str) -> str:
    """Return the text of the target's own ``settings``, which may be empty."""
    return read(tree, f"{FOLDER}/{target}/settings") or ""


# --- what became of one ------------------------------------------------------------------------


def changed(tree: PatchedTree, target: str) -> set[str]:
    """Return the stems of the files in a target that the series changes."""
    folder = f"{FOLDER}/{target}/"
    return {Path(name).stem for name in tree.files if name.startswith(folder)}


def emitted(text: str) -> list[str]:
    """Return the programs that ``make emit_tests`` names, each once; other lines are no names."""
    names = (_EMITTED.fullmatch(line.strip()) for line in text.splitlines())
    return list(dict.fromkeys(match[1] for match in names if match))


def faults(lines: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Return the output about each file that make could not make, by its name without ".o".

    ``lines`` are make's, with what one recipe gave kept together (--output-sync). The names of
    ``folders`` are taken out of them.
    """
    by_name: dict[str, str] = {}
    output: list[str] = []
    for raw in lines:
        line = raw
        for folder in folders:
            line = line.replace(f"{folder}/", "")
        if match := _FAILED.search(line):
            name = (match[1] or match[2]).removesuffix(".o")
            by_name.setdefault(name, "\n".join([*output[-_LINES_SHOWN:], line]))
            output = []
        elif _COMMAND.match(line):
            output = []
        else:
            output.append(line)
    return by_name


def unbuilt_because(output: str) -> str:
    """Return why a program does not build, by what make printed of it: its fault or the host's.

    A library's header that is not there, or the library, is what this host lacks. A header of the
    kernel's is what the tree lacks, and so is one that is included by its path.
    """
    header = _HEADER_MISSING.search(output)
    library = _LIBRARY_MISSING.search(output) or _PACKAGE_MISSING.search(output)
    name = ""
    if header and not _OF_KERNEL.match(header[1]):
        name = header[1]
    elif library:
        name = library[1].removeprefix("lib")
    if not name:
        return f"it does not build\n{output}"
    lacking = _LIBRARIES.get(name, f"lib{name}" if library and not header else name)
    return f"{verdicts.NOT_BUILT_HERE}needs {lacking}\n{output}"


def untestable_without(name: str, why: str) -> str:
    """Return why a program that calls ``name`` cannot be tested, by why that one does not build."""
    head, _, output = why.partition("\n")
    if any_lacking([why]):
        return f"{head}\nit calls {name}, which is not there\n{output}"
    return f"it calls {name}, which does not build\n{output}"


def any_lacking(reasons: Iterable[str]) -> bool:
    """Return whether one of the reasons for not building is what this host lacks."""
    return any(why.startswith(verdicts.NOT_BUILT_HERE) for why in reasons)
