"""A patch series, the tree that it is applied to, and whom it blames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.model.kernel import KernelBase


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch in git format-patch form: its file's name, its subject and its bytes."""

    name: str
    subject: str
    content: bytes
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A leaf that is expected to fail. ``test`` is a glob over leaf ids."""

    test: str
    reason: str
    review: str = ""  # the line of a review that names it
    # What a suite allows, where a series is certain: a pass is no failure, its list is only stale.
    certain: bool = True
    start: bool = True  # False: its program is not even started
    accel: str = ""  # the accelerator that it fails under; "": any
    changed: tuple[str, ...] = ()  # suite/program that the series changes: they have to end


@dataclass(frozen=True, slots=True)
class Explained:
    """Why no test runs some lines: those with this text, in this function, or both."""

    file: str
    reason: str
    line: str = ""  # the line's text, without white space around it
    function: str = ""


@dataclass(frozen=True, slots=True)
class PatchSeries:
    """An ordered patch series for one base, with what its manifest says of it."""

    name: str  # iosignalfd/v4
    title: str
    base: str  # the key of series.yaml's bases that was chosen: 6.12
    patches: tuple[Patch, ...]
    kconfig: tuple[str, ...] = ()  # CONFIG_FOO=y lines
    suites: tuple[str, ...] = ()
    known_failures: tuple[KnownFailure, ...] = ()
    unrun: tuple[Explained, ...] = ()
    cover_letter: str = ""
    origin: Path | None = None
    mailing: Mailing | None = None  # None for a series that does not come from a mail


@dataclass(frozen=True, slots=True)
class PatchedFile:
    """One file as a series leaves it; ``content`` None means that the series removes it."""

    content: bytes | None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class PatchedTree:
    """A base and the files a series changes in it, held in memory until a build needs them."""

    base: KernelBase
    series: PatchSeries | None
    files: Mapping[str, PatchedFile]  # by path relative to the tree
    key: str


@dataclass(frozen=True, slots=True)
class Mailing:
    """How a series was posted: what a reply to it needs. Each header is one line, decoded."""

    message_id: str  # <…@…>, of the cover letter or else of the first patch
    subject: str
    sender: str
    to: str = ""
    cc: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Blame:
    """A complaint that points into a hunk of the series: which patch, and where in it."""

    said: str  # the compiler's or the kernel's line
    file: str
    line: int  # in the patched tree, counted from 1
    patch: int  # which of the series, counted from 1
    subject: str
    hunk: tuple[str, ...]  # the part of the hunk around that line, its header first
    at: int  # index of that line in ``hunk``
