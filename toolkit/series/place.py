"""What a series may be named by beside a path: a message-id or its URL, or a range of commits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.host import git

_SCHEME = "git:"
_URL = re.compile(r"https?://", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"<([^<>\s]{1,250}@[^<>\s@]{1,250})>")
_MESSAGE_ID = re.compile(r"(?:\w*id:)?[^<>\s@/]{1,250}@[^<>\s@/]{1,250}")
_IN_URL = re.compile(r"https?://[^/@]+/(?:[^@]*/)?[^/@]+(?:@|%40)[^/@]+(?:/.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """A mail in a public archive: its message-id, or a URL that the archive has it under."""

    name: str


@dataclass(frozen=True, slots=True)
class Commits:
    """The commits of a repository that ``until`` has and ``after`` does not; "" is HEAD."""

    path: Path
    after: str
    until: str

    @property
    def name(self) -> str:
        """What the series is called."""
        return f"{self.path.resolve().name}@{self.after}..{self.until}"


Place = Path | Message | Commits


def parse(name: str) -> Message | Commits | None:
    """Return what ``name`` stands for where it is no path; None where it may be one.

    Raises :class:`UserError` for what begins as one of these and is none.
    """
    if name.startswith(_SCHEME):
        return _commits(name)
    if _URL.match(name):
        address = re.split(r"[?#]", name, maxsplit=1)[0].rstrip("/")
        if not _IN_URL.fullmatch(address):
            raise UserError(
                f"{name} is the address of no message",
                hint="open the message in the archive and take its address: "
                "https://lore.kernel.org/r/MESSAGE-ID",
            )
        return Message(address)
    if match := _IN_BRACKETS.fullmatch(name):
        return Message(match[1])
    return Message(name) if _MESSAGE_ID.fullmatch(name) and not paths.exists(Path(name)) else None


def _commits(name: str) -> Commits:
    path, revisions = git.at_revision(name.removeprefix(_SCHEME))
    after, dots, until = revisions.partition("..")
    if not dots or until.startswith("."):
        raise UserError(
            f"{name} names no range of commits",
            hint="write git:PATH@A..B for what B has and A does not; for one commit git:PATH@B~..B",
        )
    return Commits(path, after, until)
