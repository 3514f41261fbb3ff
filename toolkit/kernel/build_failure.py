"""Why make failed: the series, with the compiler's own lines, or the host.

A series that does not compile is a verdict, so what the host lacks must not look like one: a tool,
a header or library of the kernel's host programs, memory, disk space. What the series itself adds
decides where the words are the same: a Makefile of its own may name a tool that does not exist.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from toolkit.core.errors import BuildError, InfrastructureError
from toolkit.core.model.series import PatchedTree

_DIAGNOSTIC = re.compile(
    r"(:\d+(:\d+)?: (fatal )?error\b|\berror: |undefined reference|multiple definition"
    r"|^ERROR: modpost|^ld: |No rule to make target|: Error \d|\*\*\* )"
)
_OF_SOURCE = re.compile(  # of gas with capitals
    r"^(?:\S+|\{standard input\}):\d+(?::\d+)?: (?:[Ee]rror|[Ww]arning|[Nn]ote|Info): "
)
_FATAL_OF_SOURCE = re.compile(r"^\S+:\d+(?::\d+)?: fatal error: ")
_CONTEXT = re.compile(r"^ +(\d+ )?\||^In file included from|: In function ")
_DETAIL_LINES = 30
_WINDOW = 200  # lines at the end of the output; what came before did not stop make

_FREE_SPACE = "free some disk space (toolkit cache prune) and run again"
_FREE_MEMORY = "free some memory, or lower --jobs, and run again"
_DISK = "see the host's kernel log for what its disk or file system has"
_CRASHED = "the compiler crashed: run again; if it crashes at the same file, use another version"
_PROCESSES = "raise `ulimit -u`, or lower --jobs"
_AGAIN = "run again; if it comes back, lower --jobs"
_BUS_ERROR = "Bus error"  # a mapped file that could not be read, or that a full disk cut short
_EXHAUSTED = (
    (r"No space left on device", _FREE_SPACE),
    (r"(?:echo|printf): I/O error", _FREE_SPACE),  # dash
    (r"Disk quota exceeded", "free some of your disk quota (toolkit cache prune) and run again"),
    # EFBIG of whoever ignores SIGXFSZ, and what make and shells say of one that it killed.
    (r"File (?:too large|size limit exceeded)", "raise the limit of a file's size (ulimit -f)"),
    (r"CPU time limit exceeded", "raise the limit of processor time (ulimit -t)"),
    (r"(?:virtual )?memory exhausted", _FREE_MEMORY),
    (r"[Cc]annot allocate memory", _FREE_MEMORY),
    # Of bash, of glibc, and of depmod.
    (r"(?:[Cc]ould not|[Cc]annot) allocate (?:memory|TLS|\d+ bytes)", _FREE_MEMORY),
    (r"[Oo]ut of memory(?:!|$| allocating \d+ bytes| in perl)", _FREE_MEMORY),
    (r"(?:rustc-)?LLVM ERROR: out of memory", _FREE_MEMORY),
    (r"memory allocation of \d+ bytes failed", _FREE_MEMORY),  # rustc
    (r"terminate called after throwing an instance of 'std::bad_alloc'", _FREE_MEMORY),
    (r"MemoryError(?=:|$)", _FREE_MEMORY),  # Python
    (r"(?:read|write) jobs pipe: Resource temporarily unavailable", _AGAIN),
    (r"Resource temporarily unavailable", _PROCESSES),
    # What scripts/Kconfig.include asks before anything else.
    (r"(?:C compiler|Linker|Assembler) is too old", "name a newer one with --toolchain"),
    (
        r"Sorry, this (?:C compiler|linker|assembler) is not supported",
        "name another one with --toolchain",
    ),
    (r"pahole version \S+ is too old", "install a newer pahole"),  # scripts/link-vmlinux.sh
    (r"Cannot fork", _PROCESSES),
    (r"Too many open files", "raise `ulimit -n`, or lower --jobs"),
    (r"Input/output error", _DISK),
    (r"Stale (?:NFS )?file handle", _DISK),
    (r"Structure needs cleaning", _DISK),
    (r"Remote I/O error|Transport endpoint is not connected", _DISK),
    # Of programs that keep the reason to themselves. make, when it ends; ld; tar; lz4 and zstd.
    (r"write error(?:: stdout)?$", _FREE_SPACE),
    (r"final link failed: file truncated", _FREE_SPACE),
    (r"Wrote only \d+ of \d+ bytes", _FREE_SPACE),
    (r"Write error : cannot (?:write|flush)", _FREE_SPACE),
    (r"I/O or other error, bailing out", _DISK),  # bzip2
    (r"ccache: error: .*", "see to its store, or set CCACHE_DISABLE=1 to build without it"),
    # earlyoom and its like send SIGTERM before memory runs out.
    (r"(?:Killed|Terminated) signal terminated program \w+", _FREE_MEMORY),
    (r"\w+ terminated with signal (?:9 \[Killed|15 \[Terminated)\]", _FREE_MEMORY),
    (r"linking with `\S+` failed: signal: 9 \(SIGKILL\)", _FREE_MEMORY),  # rustc
    (r"\[[^\]]+\] (?:Killed|Terminated)", _FREE_MEMORY),
    (rf"\[[^\]]+\] {_BUS_ERROR}", _DISK),
    (r" *\d+ Killed\b", _FREE_MEMORY),  # bash, with the process and what it ran
    (r"Killed$", _FREE_MEMORY),  # dash
    (r"unable to execute command: Killed", _FREE_MEMORY),  # clang
    (r"unable to execute command: (?:Segmentation fault|Bus error|Aborted)", _CRASHED),
    (r"\w+ terminated with signal (?:6|7|11) \[[\w ]+\]", _CRASHED),  # collect2
    (r"(?:Segmentation fault|Bus error|Aborted) signal terminated program \w+", _CRASHED),
    (r"rustc interrupted by SIG(?:BUS|SEGV)", _CRASHED),
    (r"internal compiler error", _CRASHED),
    (r"BFD .{0,80}(?:internal error|assertion fail)", _CRASHED),
    (r"clang frontend command failed (?:with exit code \d+|due to signal)", _CRASHED),
)
# The words come first in a message, after a program's name and perhaps a place in a file; gas has
# quotes around them, and mawk parentheses.
_HOST_EXHAUSTED = tuple(
    (re.compile(rf"(?:^|[:\]] |\*\*\* |\()(?:error writing to \S+: )?'?({words})"), hint)
    for words, hint in _EXHAUSTED
)
# The sandbox has the source read-only, and a Makefile that writes there is at fault itself. What
# stands in the build folder, by a path from there, and in /tmp can be written.
_READ_ONLY = re.compile(
    r"[\s'\u2018\"](?P<path>[\w.+-][\w./+-]*|/tmp(?:/\S*?)?)['\u2019\"]?(?:; reason)?:"
    r" '?Read-only file system|Read-only file system: '(?P<python>[\w.+-][\w./+-]*|/tmp/[^']*)'"
)
_IN_SOURCE = ("../", "source/")  # of paths from the build folder
_OF_KBUILD = (".o", ".d", ".a", ".s", ".cmd")  # a series that names one does not write it itself
# dash, bash, make, env (with its quotes in UTF-8 or not) and a script's first line.
_NAME = r"(?P<name>[\w.+-]+)"
_PLACE = r"(?:/(?:usr/(?:local/)?)?s?bin/)?"  # of a program whose path somebody wrote out
_TOOL_MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^\S+: (?:line )?\d+: (?:exec: )?{_PLACE}{_NAME}: (?:command )?not found$",
        rf"^(?:\S*sh: )?(?:exec: )?{_PLACE}{_NAME}: (?:command )?not found$",
        rf"^make(?:\[\d+\])?: (?:execvp: )?{_PLACE}{_NAME}: "
        r"(?:No such file or directory|[Cc]ommand not found)$",
        rf"^\S*env: [\u2018']?{_PLACE}{_NAME}[\u2019']?: No such file or directory$",
        r": (?:\S*/)?(?P<name>[\w.+-]+): bad interpreter: No such file or directory$",
    )
)
# Of a toolchain, of flex and bison, and what scripts of the kernel say; no series can name these.
_PART_MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        rf"fatal error: cannot execute ['\u2018`]{_NAME}['\u2019]: \w+: No such file or directory",
        rf"^collect2: fatal error: cannot find ['\u2018]{_NAME}['\u2019]",
        rf"error: unable to execute command: Executable \"{_NAME}\" doesn't exist",
        rf"error: invalid linker name in argument '-fuse-ld={_NAME}'",
        rf"^(?:\S*/)?flex: fatal internal error, exec of {_NAME} failed",
        rf"^(?:\S*/)?bison: {_NAME} subprocess failed",
        r": cannot find (?P<name>[Sgr]?crt\w{1,8}\.o)\b",  # of the C library
        rf": error while loading shared libraries: {_NAME}: cannot open shared object file",
        rf"^BTF: .*: pahole \({_NAME}\) is not available",  # scripts/link-vmlinux.sh
        r"[Cc]annot .*, please install (?P<name>lib[\w.+-]+)",  # Makefile of kernels before 5.15
    )
)
# Modules of Python and of Perl, which scripts of the tree take from the host.
_MODULE_MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        r"^ModuleNotFoundError: No module named '(?P<name>[\w.]+)'",
        r"^Can't locate (?P<name>[\w/]+)\.pm in @INC",
    )
)
# A script is "not found", too, when it is there and the interpreter that it names is not.
_SCRIPT_MISSING = re.compile(
    r"(?P<script>[^\s:]*/[^\s:]+): "
    r"(?:not found|No such file or directory|cannot execute: required file not found)$"
)
_SHEBANG = re.compile(rb"#! ?(\S+)")
_NOT_FOUND = 127  # what a shell, env and make exit with then
_LIBRARY_MISSING = re.compile(r"cannot find -l(?P<name>[\w.+-]+)")
_HEADER_MISSING = re.compile(
    r"(?P<file>\S+?):\d+(?::\d+)?: fatal error: (?P<name>\S+): No such file or directory"
)
# What host programs include, by the beginning of its name, and Debian's packages of it.
_HEADERS = {
    "openssl/": "libssl-dev",  # scripts/sign-file.c, certs/extract-cert.c
    "gelf.h": "libelf-dev",
    "libelf.h": "libelf-dev",
    "gcc-plugin.h": "gcc-VERSION-plugin-dev",
}
# Programs of the kernel's build that run on the host (scripts/Makefile.host, tools/build).
_HOST_PROGRAMS = re.compile(r"(?:scripts|tools|certs|usr)/|arch/[^/]+/(?:boot/)?tools/")
_HOST_TARGET = re.compile(r"\*\*\* \[(?:\S*/)?scripts/Makefile\.host:\d+: (?P<target>\S+)\] Error")


@dataclass(frozen=True, slots=True)
class Build:
    """What make built: a patched tree, in the folder ``source``."""

    tree: PatchedTree
    source: Path

    def adds(self, words: str, *, only: str = "") -> bool:
        """Return whether the series adds a line with ``words``; ``only``: to that file."""
        names = [only] if only else list(self.tree.files)
        pattern = re.compile(rf"(?<![\w.+-]){re.escape(words)}(?![\w+-])")
        return any(pattern.search(line) for name in names for line in self._added(name))

    def says(self, sentence: str) -> bool:
        """Return whether the series has a sentence of several words in a line or in a file's name.

        Then it is the series that says so, in an ``#error``, a recipe or a message about the file.
        """
        if " " not in sentence:
            return False  # anybody has such a word
        return self.adds(sentence) or any(sentence in name for name in self.tree.files)

    def may_crash(self, words: str) -> bool:
        """Return whether ``words`` tell of a crash that a program of the series may have had."""
        return _BUS_ERROR in words and any(map(_HOST_PROGRAMS.match, self.tree.files))

    def removes(self, header: str) -> bool:
        """Return whether the series takes away a file that ``#include <header>`` meant."""
        return any(
            file.content is None and f"/{name}".endswith(f"/{header}")
            for name, file in self.tree.files.items()
        )

    def has_touched(self, module: str) -> bool:
        """Return whether the series changes a file of a module of Python or Perl, or took it away.

        ``module`` is as it is imported: kdoc.parser, File/Slurp.
        """
        top = re.split(r"[./]", module)[0]
        return any(
            PurePosixPath(part).stem == top for name in self.tree.files for part in name.split("/")
        )

    def path(self, name: str) -> str:
        """Return a path in the tree as the compiler was given it, in the shortest form."""
        return os.path.relpath(self.source / name, self.source)

    def _added(self, name: str) -> list[str]:
        file = self.tree.files.get(name)
        if file is None or file.content is None:
            return []
        try:
            before = set((self.tree.base.path / name).read_text(errors="replace").splitlines())
        except OSError:
            before = set()
        text = file.content.decode(errors="replace")
        return [line for line in text.splitlines() if line not in before]


def refuse_strange(strange: Sequence[str], log: Path | None) -> None:
    """Raise :class:`BuildError` if :func:`toolkit.host.sandbox.sweep` removed anything."""
    if strange:
        raise BuildError(
            "the build left links or special files that lead out of its folder",
            hint="a Makefile of the series or of its base made them; they have been removed",
            detail=strange[:_DETAIL_LINES],
            log=log,
        )


def explain_failure(
    lines: Sequence[str],
    log: Path | None,
    *,
    what: str = "the kernel does not build",
    build: Build | None = None,
) -> BuildError | InfrastructureError:
    """Return the error for a failed make: the compiler's own lines, or the host's fault.

    ``lines`` are make's output, and ``build`` what it built, where that is a kernel: its host
    programs need headers and libraries of the host.
    """
    if fault := _host_fault(lines[-_WINDOW:], build):
        return fault
    telling = (_DIAGNOSTIC, *_TOOL_MISSING, *_PART_MISSING, *_MODULE_MISSING)
    named = [any(pattern.search(line) for pattern in telling) for line in lines]
    detail = [
        line
        for index, line in enumerate(lines)
        if named[index] or (_CONTEXT.search(line) and any(named[max(0, index - 3) : index + 4]))
    ]
    return BuildError(
        what,
        hint="fix the lines above; the whole output is in the build log",
        detail=detail[:_DETAIL_LINES] or list(lines[-_DETAIL_LINES:]),
        log=log,
    )


def _host_fault(lines: Sequence[str], build: Build | None) -> InfrastructureError | None:
    targets = {match["target"] for line in lines if (match := _HOST_TARGET.search(line))}
    # A recipe may ignore that a tool is missing, and fail for another reason.
    diagnosed = any(re.search(r"^\S+:\d+(:\d+)?: (fatal )?error: ", line) for line in lines)
    stopped = any(f" Error {_NOT_FOUND}" in line for line in lines)
    for line in lines:
        if _CONTEXT.search(line) or _OF_SOURCE.search(line):
            continue  # which may have any words in it
        fault = _exhausted(line, build) or _read_only(line, build)
        if not fault and (stopped or not diagnosed):
            fault = _lacks_tool(line, build)
        if not fault and build:
            fault = _lacks_library(line, build) or _lacks_header(line, build, targets)
        if fault:
            return fault
    return None


def _exhausted(line: str, build: Build | None) -> InfrastructureError | None:
    quotes_source = _FATAL_OF_SOURCE.search(line)  # `#include "x: No space left on device"`
    for pattern, hint in _HOST_EXHAUSTED:
        if match := pattern.search(line):
            if build and (build.says(match[1]) or build.may_crash(match[1])):
                continue
            if quotes_source and line[match.end() :].rstrip("' "):
                continue
            what = f"the build stopped: {match[1]}"
            return InfrastructureError(what, hint=hint, detail=[line])
    return None


def _read_only(line: str, build: Build | None) -> InfrastructureError | None:
    """Return the fault for a build folder, or a temporary one, that cannot be written."""
    match = _READ_ONLY.search(line)
    if match is None or build is None or build.says("Read-only file system"):
        return None
    path = match["path"] or match["python"]
    if path.startswith(_IN_SOURCE) or (build.adds(path) and not path.endswith(_OF_KBUILD)):
        return None
    what = "the build stopped: Read-only file system"
    return InfrastructureError(what, hint=_DISK, detail=[line])


def _lacks_tool(line: str, build: Build | None) -> InfrastructureError | None:
    if match := _first(_PART_MISSING, line):
        return _lacks(match["name"], line, "install it, or run ./bootstrap")
    if (match := _first(_MODULE_MISSING, line)) and build and build.has_touched(match["name"]):
        return None
    match = match or _first(_TOOL_MISSING, line)
    name = match["name"] if match else ""
    if not name and build and (match := _SCRIPT_MISSING.search(line)):
        name = _missing_interpreter(build.source / match["script"])
    if not name or (build and build.adds(name)):
        return None
    return _lacks(name, line, "install it, or run ./bootstrap")


def _first(patterns: Iterable[re.Pattern[str]], line: str) -> re.Match[str] | None:
    return next(filter(None, (pattern.search(line) for pattern in patterns)), None)


def _missing_interpreter(script: Path) -> str:
    try:
        with script.open("rb") as file:
            match = _SHEBANG.match(file.read(200))
    except OSError:
        return ""
    interpreter = Path(os.fsdecode(match[1])) if match else None
    return interpreter.name if interpreter and not interpreter.exists() else ""


def _lacks_library(line: str, build: Build) -> InfrastructureError | None:
    match = _LIBRARY_MISSING.search(line)
    if match is None or build.adds(f"-l{match['name']}"):
        return None
    name = f"lib{match['name']}"
    return _lacks(name, line, f"install the development package of {name}")


def _lacks_header(line: str, build: Build, targets: set[str]) -> InfrastructureError | None:
    """Return the fault for a header that a host program needs; ``targets`` are such programs."""
    match = _HEADER_MISSING.search(line)
    if match is None:
        return None
    path, header = build.path(match["file"]), match["name"]
    stem = os.path.splitext(path)[0]  # noqa: PTH122 - no path of ours
    if not _HOST_PROGRAMS.match(path) and not {stem, f"{stem}.o"} & targets:
        return None
    if build.adds(header, only=path) or build.removes(header):
        return None
    package = next((_HEADERS[start] for start in _HEADERS if header.startswith(start)), "")
    named = f" (Debian and Ubuntu: {package})" if package else ""
    return _lacks(header, line, f"install the development package that has this header{named}")


def _lacks(name: str, line: str, hint: str) -> InfrastructureError:
    return InfrastructureError(
        f"the build needs {name}, which is not installed on this host", hint=hint, detail=[line]
    )
