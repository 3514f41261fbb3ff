"""Reads patches in git format-patch form: the mail around them and the diffs in them.

Pure functions over bytes. Which files a patch names is needed before git may touch anything,
and git has no command that tells it with both names of a rename.
"""

from __future__ import annotations

import email
import email.header
import email.message
import email.policy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.core.errors import UserError
from toolkit.core.model.series import Mailing, Patch

HEADERS = ("From", "Date", "Subject", "Message-Id", "To", "Cc")  # what is kept of a mail
MAX_NAME = 255  # NAME_MAX of every Linux file system
MAX_PATH = 4095  # PATH_MAX without its NUL

_MBOX_FROM = re.compile(rb"^From \S+ .*\d{1,2}:\d{2}.*\d{4}", re.MULTILINE)
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
# git reads the number with strtoul(3), so white space before it counts for nothing.
_MODE = re.compile(rb"(?:new file mode|deleted file mode|new mode|old mode|index \S+)\s+([0-9]+)")
_NAMED = (b"rename from ", b"rename to ", b"copy from ", b"copy to ")
_TAGS = re.compile(r"^\s*(?:re:\s*)?((?:\[[^\]]*\]\s*)*)(.*)$", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"\b0*(\d{1,4})/0*(\d{1,4})\b")
_VERSION = re.compile(r"\bv(\d{1,3})\b", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}@[^<>\s]{1,250}>")
_FORM_HINT = "make patches with `git format-patch`, and save mails unchanged"


@dataclass(frozen=True, slots=True)
class Mail:
    """A patch or a cover letter as mailed; ``number`` of ``total`` is None without one."""

    patch: Patch
    number: int | None
    total: int | None
    version: int
    reply: bool
    mailing: Mailing | None = None

    @property
    def is_patch(self) -> bool:
        """Whether there is a diff in it."""
        return re.search(rb"^diff --git ", self.patch.content, re.MULTILINE) is not None


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


# --- mail --------------------------------------------------------------------------------


def split_mbox(data: bytes) -> list[bytes]:
    """Return the messages of an mbox, each with its ``From `` line."""
    starts = []
    for match in _MBOX_FROM.finditer(data):
        before = data[max(0, match.start() - 3) : match.start()]
        if match.start() == 0 or before.endswith((b"\n\n", b"\n\r\n")):
            starts.append(match.start())
    return [data[start:end] for start, end in itertools.pairwise([*starts, len(data)])]


def read_mail(data: bytes, name: str) -> Mail:
    """Return the mail in ``data``; ``name`` stands for it in errors.

    Raises :class:`UserError` when it is no mail.
    """
    head = data.partition(b"\n")[0]
    if head.endswith(b"\r"):
        data = data.replace(b"\r\n", b"\n")  # what a mail has in transport is not in the patch
    start = data.find(b"\n") + 1 if head.startswith(b"From ") else 0
    message = email.message_from_bytes(data[start:], policy=email.policy.compat32)
    subject = _header(message, "Subject")
    if not subject or not _header(message, "From"):
        raise UserError(f"{name} is not in git format-patch form", hint=_FORM_HINT)
    match = _TAGS.match(subject)
    assert match is not None  # the pattern takes any text
    tags, title = match.groups()
    count, version = _COUNT.search(tags), _VERSION.search(tags)
    return Mail(
        patch=Patch(name, title.strip(), _plain(data, message)),
        number=int(count[1]) if count else None,
        total=int(count[2]) if count else None,
        version=int(version[1]) if version else 1,
        reply=bool(re.match(r"\s*re:", subject, re.IGNORECASE)),
        mailing=_mailing(message, subject),
    )


def _mailing(message: email.message.Message, subject: str) -> Mailing | None:
    """Return what a reply needs; None for a file that was never sent."""
    match = _MESSAGE_ID.search(_header(message, "Message-Id"))
    if match is None:
        return None
    sender, to, cc, date = (_header(message, name) for name in ("From", "To", "Cc", "Date"))
    return Mailing(match[0], subject, sender, to, cc, date)


def _header(message: email.message.Message, name: str) -> str:
    value = message.get(name)
    if value is None:
        return ""
    try:
        text = str(email.header.make_header(email.header.decode_header(value)))
    except (LookupError, ValueError, email.errors.HeaderParseError):
        text = str(value)
    return " ".join(text.split())


def _plain(data: bytes, message: email.message.Message) -> bytes:
    """Return ``data`` as it is, or rewritten without its transfer encoding and its parts."""
    encoding = str(message.get("Content-Transfer-Encoding", "")).strip().lower()
    if not message.is_multipart() and encoding not in ("base64", "quoted-printable"):
        return data
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    bodies = [part.get_payload(decode=True) for part in parts]
    body = b"\n".join(body for body in bodies if isinstance(body, bytes))
    headers = [f"{name}: {text}\n" for name in HEADERS if (text := _header(message, name))]
    return "".join(headers).encode(errors="replace") + b"\n" + body.replace(b"\r\n", b"\n")


def body_text(mail: Mail) -> str:
    """Return the text of a cover letter, without its headers and git's signature."""
    body = mail.patch.content.partition(b"\n\n")[2].decode(errors="replace")
    return re.split(r"^-- \n", body, maxsplit=1, flags=re.MULTILINE)[0].strip()


# --- diffs -------------------------------------------------------------------------------


def sections(patch: Patch) -> list[Section]:
    """Return what ``patch`` does, file by file.

    Raises :class:`UserError` for a patch that does nothing, is cut off or broken, touches a
    symbolic link or a submodule, or names a path that is not strictly inside the tree.
    """
    found = list(_Reader(patch).sections())
    if not any(section.effective for section in found):
        raise UserError(f"{patch.name} changes no file", hint=_FORM_HINT)
    return found


class _Reader:
    """Walks over the lines of one patch."""

    def __init__(self, patch: Patch) -> None:
        self.name = patch.name
        self.lines = patch.content.split(b"\n")
        if self.lines[-1] == b"":
            self.lines.pop()
        self.at = 0  # the message, too, is read by git: a diff in it would be applied

    def error(self, problem: str, hint: str = _FORM_HINT) -> UserError:
        return UserError(f"{self.name}:{self.at + 1}: {problem}", hint=hint)

    def sections(self) -> Iterator[Section]:
        while self.at < len(self.lines):
            if self.lines[self.at].startswith(b"diff --git "):
                yield self._section()
            elif self._old_style():
                raise self.error("a diff that git did not make")
            else:
                self.at += 1

    def _old_style(self) -> bool:
        """Whether a diff without its `diff --git` line begins here: git would apply it, too."""
        following = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else b""
        return self.lines[self.at].startswith(b"--- ") and following.startswith(b"+++ ")

    def _section(self) -> Section:
        first = self.at
        head = self.lines[first].removeprefix(b"diff --git ")
        paths: list[str] = []
        hunks: list[Hunk] = []
        effective = False
        self.at += 1
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.startswith(b"diff --git "):
                break
            if line.startswith(b"@@ -"):
                hunks.append(self._hunk())
                continue
            if not hunks:
                if line.startswith((b"--- ", b"+++ ")) and line[4:] != b"/dev/null":
                    paths.append(self._path(line[4:].split(b"\t")[0], strip=True))
                elif line.startswith(_NAMED):
                    paths.append(self._path(line.split(b" ", 2)[2], strip=False))
                    effective = True
                elif mode := _MODE.match(line):
                    self._check_mode(mode[1])
                    effective = effective or not line.startswith(b"index ")
                effective = effective or line == b"GIT binary patch"
            elif self._old_style():
                raise self.error("a diff that git did not make")
            self.at += 1
        names = dict.fromkeys(paths or [self._only_name(head, first)])
        return Section(tuple(names), tuple(hunks), first + 1, effective or bool(hunks))

    def _hunk(self) -> Hunk:
        first = self.at
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
        if self.at < len(self.lines) and self.lines[self.at].startswith(b"\\"):
            self.at += 1
        return Hunk(int(match[1]), first + 1, tuple(self.lines[first : self.at]))

    def _check_mode(self, mode: bytes) -> None:
        if mode not in (b"100644", b"100755"):
            kind = {b"120000": "a symbolic link", b"160000": "a submodule"}.get(mode, "no file")
            raise self.error(
                f"the mode {mode.decode()} is {kind}: refused",
                hint="a series may only add, change, rename and remove plain files",
            )

    def _only_name(self, head: bytes, first: int) -> str:
        """Return the name in a `diff --git` line whose two names are the same but for a/ and b/."""
        self.at, here = first, self.at
        half = len(head) // 2
        old, new = head[:half], head[half + 1 :]
        paths = {self._path(old, strip=True), self._path(new, strip=True)}
        if len(paths) != 1 or head[half : half + 1] != b" ":
            raise self.error("the names in this line cannot be told apart")
        self.at = here
        return paths.pop()

    def _path(self, quoted: bytes, *, strip: bool) -> str:
        """Return a path below the tree; ``strip`` takes its a/ or b/ away."""
        raw = _unquote(quoted)
        if strip:
            raw = raw.partition(b"/")[2]
            if not raw:
                raise self.error(f"the path {_shown(quoted)} has no a/ or b/ before it")
        problem = path_problem(raw)
        if problem:
            raise self.error(
                f"the path {_shown(quoted)} {problem}: refused",
                hint="a patch may only touch files inside the kernel tree",
            )
        return raw.decode()


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
    text = ascii(raw.decode(errors="replace"))
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
