"""Reads diffs: which files a patch touches, and its hunks.

Pure functions over bytes, which follow git's apply.c: what counts as a diff's header, and which of
its names is the file's. Which files a patch names is needed before git may touch anything, and git
has no command that tells it with both names of a rename.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.core.errors import UserError
from toolkit.core.model.series import Patch

MAX_NAME = 255  # NAME_MAX of every Linux file system
MAX_PATH = 4095  # PATH_MAX without its NUL
MAX_SPACES = 100  # in a line with two names
MAX_SECTIONS = 50_000  # the widest changes of the kernel's licence texts had a third of that
MAX_LINES = 1_000_000  # the largest register headers in the kernel have a third of that

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
# git reads the number with strtoul(3), so white space before it counts for nothing.
_MODE = re.compile(rb"(?:new file mode|deleted file mode|new mode|old mode|index \S+)\s+([0-9]+)")
_NAMED = re.compile(rb"(?:rename (?:from|to|old|new)|copy (?:from|to)) (.*)", re.DOTALL)
_EXTENDED = re.compile(
    rb"(?:old mode|new mode|deleted file mode|new file mode|similarity index|dissimilarity index"
    rb"|index|rename (?:from|to|old|new)|copy (?:from|to)|---|\+\+\+) "
)
# A date after a name, with or without a time and a zone: apply.c, diff_timestamp_len().
_TIMESTAMP = re.compile(
    rb"(?:\t| +)(?:\d\d)?\d\d-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?)?(?: [+-]\d\d:?\d\d)?\r?$"
)
_BINARY = re.compile(rb"(literal|delta) (\d{1,12})\r?$")
# What diff prints in the place of a binary file's content: apply.c, parse_chunk().
_DIFFER = re.compile(rb"(?:Binary files|Files) .* differ\r?$")
_WHOLE_INDEX = re.compile(rb"index (?:[0-9a-f]{40}|[0-9a-f]{64})\.\.")
_DIFF = re.compile(rb"^diff --git |^--- .*\n\+\+\+ .*\n@@ -|^GIT binary patch", re.MULTILINE)
_FORM_HINT = "make patches with `git format-patch`, and save mails unchanged"
_BINARY_HINT = "make the patch with `git format-patch --binary`, which puts it in"
_GIT_HEAD = re.compile(
    rb"^diff --git (.*)\n(?=old mode|new |deleted|similar|dissim|index|---)", re.M
)
_DEV_NULL = re.compile(rb"/dev/null(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk: its first line in the old file, where it stands in the patch, and its text."""

    start: int
    line: int
    text: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What a patch does to one file. ``paths`` has its name, or its old and new name."""

    paths: tuple[str, ...]
    hunks: tuple[Hunk, ...]
    line: int
    effective: bool  # it has hunks, binary data, a new name or a new mode
    inflated: int = 0  # bytes that its binary data becomes
    strip: int = 1  # how many folders of its names do not count: git apply -p


def has_diff(text: bytes, start: int = 0) -> bool:
    """Return whether something in ``text`` from ``start`` on looks like a diff, however broken."""
    return _DIFF.search(text, start) is not None


def sections(patch: Patch) -> list[Section]:
    """Return what ``patch`` does, file by file.

    Raises :class:`UserError` for a patch that does nothing, is cut off or broken, touches a
    symbolic link or a submodule, or names a path that is not strictly inside the tree.
    """
    parts = list(itertools.islice(_Reader(patch).sections(), MAX_SECTIONS + 1))
    if len(parts) > MAX_SECTIONS:
        raise UserError(
            f"{patch.name} changes more than {MAX_SECTIONS:,} files", hint="split the patch"
        )
    if not any(section.effective for section in parts):
        if any(_DIFFER.match(line) for line in patch.diff.split(b"\n")):
            what = f"{patch.name} changes binary files, and does not have their content"
            raise UserError(what, hint=_BINARY_HINT)
        raise UserError(f"{patch.name} changes no file", hint=_FORM_HINT)
    return parts


class _Reader:
    """Walks over the lines of one patch as apply.c does."""

    def __init__(self, patch: Patch) -> None:
        self.name = patch.name
        self.above = patch.content.count(b"\n", 0, patch.diff_at)
        self.strip = 1 if patch.strip is None else patch.strip
        self.strip_known = patch.strip is not None
        if patch.strip is None and _without_prefix(patch):
            self.strip, self.strip_known = 0, True
        if patch.content.count(b"\n") > MAX_LINES:
            raise UserError(
                f"{patch.name} has more than {MAX_LINES:,} lines", hint="no patch series has that"
            )
        self.lines = patch.content.split(b"\n")
        del self.lines[: self.above]  # a diff begins a line
        if self.lines[-1] == b"":
            self.lines.pop()
        self.at = 0

    def error(self, problem: str, hint: str = _FORM_HINT) -> UserError:
        return UserError(f"{self.name}:{self.number()}: {problem}", hint=hint)

    def number(self) -> int:
        """Return the number of the current line in the mail."""
        return self.above + self.at + 1

    def line(self, ahead: int = 0) -> bytes:
        at = self.at + ahead
        return self.lines[at] if at < len(self.lines) else b""

    def sections(self) -> Iterator[Section]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.startswith(b"diff --git "):
                if _EXTENDED.match(self.line(1)):
                    yield self._git_section()
                else:
                    self.at += 1  # words: a header has more than this line
            elif self._traditional():
                yield self._traditional_section()
            elif line.startswith(b"@@ -") and _HUNK.match(line):
                raise self.error("a hunk without the name of its file above it")
            else:
                self.at += 1

    def _traditional(self) -> bool:
        """Whether a diff without a `diff --git` line begins here, as find_header() decides it."""
        return (
            self.line().startswith(b"--- ")
            and self.line(1).startswith(b"+++ ")
            and self.line(2).startswith(b"@@ -")
        )

    # --- the two kinds of header --------------------------------------------------------------

    def _git_section(self) -> Section:
        first, start = self.number(), self.at
        paths: list[str] = []
        effective = removed = identified = False
        self.at += 1
        while self.at < len(self.lines) and _EXTENDED.match(self.lines[self.at]):
            line = self.lines[self.at]
            if line.startswith((b"--- ", b"+++ ")):
                if not _DEV_NULL.match(line, 4):
                    paths.append(self._path(line[4:].split(b"\t")[0], self.strip))
            elif named := _NAMED.match(line):
                paths.append(self._path(named[1], max(self.strip - 1, 0)))
                effective = True
            elif mode := _MODE.match(line):
                self._check_mode(mode[1])
                effective = effective or not line.startswith(b"index ")
            removed = removed or line.startswith(b"deleted file mode ")
            identified = identified or _WHOLE_INDEX.match(line) is not None
            self.at += 1
        hunks = tuple(self._hunks())
        inflated = self._binary() if not hunks and self.line() == b"GIT binary patch" else None
        names = dict.fromkeys(paths or [self._only_name(start)])
        # What is removed git compares with a whole index line, and needs no content for that.
        absent = not hunks and _DIFFER.match(self.line()) and not (removed and identified)
        if absent:
            problem = f"{next(reversed(names))!r} is binary, and its content is not in the patch"
            raise self.error(problem, hint=_BINARY_HINT)
        effective = effective or bool(hunks) or inflated is not None
        return Section(tuple(names), hunks, first, effective, inflated or 0, self.strip)

    def _traditional_section(self) -> Section:
        first = self.number()
        old, new = self.line()[4:], self.line(1)[4:]
        if not self.strip_known:
            self._guess_strip(old, new)
        if _DEV_NULL.match(old):
            name = _traditional_name(new, self.strip)
        elif _DEV_NULL.match(new):
            name = _traditional_name(old, self.strip)
        else:
            other = _traditional_name(old, self.strip)
            name = _traditional_name(new, self.strip) or other
            # The shorter of two is the file, where the longer one is a copy: foo.c.orig, foo.c~.
            if name and other and len(other) < len(name) and name.startswith(other):
                name = other
        if not name:
            raise self.error(
                f"no name is left of {_shown(old)} and {_shown(new)} below {self.strip} folders"
            )
        path = self._checked(name, name)
        self.at += 2
        return Section((path,), tuple(self._hunks()), first, effective=True, strip=self.strip)

    def _guess_strip(self, old: bytes, new: bytes) -> None:
        """Take names without any folder as they are, as guess_p_value() does."""
        flat = [
            b"/" not in name
            for each in (old, new)
            if not _DEV_NULL.match(each) and (name := _traditional_name(each, 0))
        ]
        if flat and all(flat):
            self.strip, self.strip_known = 0, True

    # --- what follows a header ----------------------------------------------------------------

    def _hunks(self) -> Iterator[Hunk]:
        while self.line().startswith(b"@@ -"):
            yield self._hunk()

    def _hunk(self) -> Hunk:
        first, number = self.at, self.number()
        match = _HUNK.match(self.lines[first])
        if match is None:
            raise self.error("a broken hunk header")
        old = int(match[2]) if match[2] is not None else 1
        new = int(match[4]) if match[4] is not None else 1
        self.at += 1
        while old or new:
            if self.at >= len(self.lines):
                raise self.error("the patch is cut off within a hunk")
            sign = self.lines[self.at][:1]
            if sign not in (b" ", b"", b"-", b"+", b"\\"):
                raise self.error("a broken hunk: this line belongs to none (wrapped by a mailer?)")
            old -= sign in (b" ", b"", b"-")
            new -= sign in (b" ", b"", b"+")
            if old < 0 or new < 0:
                raise self.error("a broken hunk: its header counts fewer lines")
            self.at += 1
        if self.line().startswith(b"\\"):
            self.at += 1
        return Hunk(int(match[1]), number, tuple(self.lines[first : self.at]))

    def _binary(self) -> int:
        """Pass over binary data, forward and reverse; return how many bytes it becomes."""
        inflated = 0
        self.at += 1
        while match := _BINARY.match(self.line()):
            self.at += 1
            size = int(match[2])
            inflated += max(size, _delta_size(self.line()) if match[1] == b"delta" else 0)
            while self.line().rstrip(b"\r"):
                self.at += 1
            self.at += 1
        return inflated

    def _check_mode(self, mode: bytes) -> None:
        if mode not in (b"100644", b"100755"):
            kind = {b"120000": "a symbolic link", b"160000": "a submodule"}.get(mode, "no file")
            raise self.error(
                f"the mode {mode.decode()} is {kind}: refused",
                hint="a series may only add, change, rename and remove plain files",
            )

    # --- names --------------------------------------------------------------------------------

    def _only_name(self, start: int) -> str:
        """Return the name in a `diff --git` line whose two names are the same but for a/ and b/."""
        head = self.lines[start].removeprefix(b"diff --git ").rstrip(b"\r")
        self.at, here = start, self.at
        # The prefixes may differ in length: --src-prefix. Few names have as many spaces.
        spaces = [match.start() for match in re.finditer(b" ", head)][:MAX_SPACES]
        for at in sorted(spaces, key=lambda at: abs(at - len(head) // 2)):
            old, new = _unquote(head[:at]), _unquote(head[at + 1 :])
            if (name := _stripped(old, self.strip)) and name == _stripped(new, self.strip):
                path = self._checked(name, head[:at])
                self.at = here
                return path
        if b"/" not in head and self.strip:
            self._path(head, self.strip)
        raise self.error("the names in this line cannot be told apart")

    def _path(self, quoted: bytes, strip: int) -> str:
        """Return a path below the tree, without as many of its first folders."""
        raw = _stripped(_unquote(quoted), strip)
        if not raw:
            raise self.error(
                f"the path {_shown(quoted)} has no a/ or b/ before it",
                hint="make it with git's usual prefixes (a/ and b/), without --no-prefix; in a "
                "quilt series, put -p0 behind its name in the series file",
            )
        return self._checked(raw, quoted)

    def _checked(self, raw: bytes, quoted: bytes) -> str:
        problem = path_problem(raw)
        if not problem:
            return raw.decode()
        hint = "a patch may only touch files inside the kernel tree"
        if raw.endswith(b"\r"):
            problem, hint = "ends in a carriage return", "take the CRs away: dos2unix FILE"
        elif "control" in problem:
            hint = "no file of the kernel has such a name"
        raise self.error(f"the path {_shown(quoted)} {problem}: refused", hint=hint)


def _without_prefix(patch: Patch) -> bool:
    """Whether git made the diff with --no-prefix: a file that keeps its name has it twice then."""
    matches = _GIT_HEAD.finditer(patch.content, patch.diff_at)
    heads = [match[1].removesuffix(b"\r") for match in itertools.islice(matches, 100)]
    halves = [(head[: len(head) // 2], head[len(head) // 2 :]) for head in heads]
    return any(second == b" " + first for first, second in halves)


def _stripped(raw: bytes, strip: int) -> bytes:
    """Return a name without its first ``strip`` folders; nothing where it has not as many."""
    parts = raw.split(b"/", strip)
    return parts[strip] if len(parts) > strip else b""


def _traditional_name(line: bytes, strip: int) -> bytes:
    """Return the file's name in a line of a diff that is not git's: before a date or a tab."""
    if line.startswith(b'"') and (name := _stripped(_unquote(line.split(b"\t")[0]), strip)):
        return name
    stamp = _TIMESTAMP.search(line[-80:])
    raw = line[: len(line) - len(stamp[0])] if stamp else line.split(b"\t")[0]
    return re.sub(rb"/+", b"/", _stripped(raw, strip))


def _delta_size(line: bytes) -> int:
    """Return how large a delta says that its result is; nothing in it is trusted (delta.h)."""
    try:
        head = zlib.decompressobj().decompress(base64.b85decode(line[1:].rstrip(b"\r")), 32)
    except (ValueError, zlib.error, binascii.Error):
        return 0  # git refuses it
    sizes = []
    value = shift = 0
    for byte in head:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            sizes.append(value)
            value = shift = 0
    return sizes[1] if len(sizes) > 1 else 0


def path_problem(raw: bytes) -> str:
    """Return what is wrong with a path that a patch names, or an empty text."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    parts = text.split("/")
    if text.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "leaves the tree"
    if "" in parts or "." in parts:
        return "is not in its shortest form"
    if any(part.lower() == ".git" for part in parts):
        return "is inside git's own folder"
    if len(raw) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
        return "is too long"
    return "" if text.isprintable() else "has control characters"


def _shown(raw: bytes) -> str:
    text = ascii(raw[:200].decode(errors="replace"))
    return text if len(text) <= 120 else text[:117] + "..."


_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}


def _unquote(name: bytes) -> bytes:
    """Undo git's C-style quoting, see core.quotePath in git-config(1)."""
    if not (len(name) >= 2 and name.startswith(b'"') and name.endswith(b'"')):
        return name

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([_ESCAPES[code] if code in _ESCAPES else int(code, 8) & 0xFF])

    return re.sub(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])', plain, name[1:-1])
