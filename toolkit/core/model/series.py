"""A patch series, the tree that it is applied to, and whom it blames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.model.kernel import KernelBase


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch as a mail in git format-patch form, and what git mailinfo reads in it."""

    name: str  # its file's
    subject: str  # without tags
    content: bytes
    path: Path | None = None
    diff_at: int = 0  # where in ``content`` git finds the diff; what is above is the message
    author: str = ""  # Name <address>
    date: str = ""  # as its mail has it
    message: str = ""  # what is below the subject
    strip: int | None = None  # git apply -p; None: as git guesses it
    context: int | None = None  # lines of context that must match; None: all

    @property
    def diff(self) -> bytes:
        """What git apply gets."""
        return self.content[self.diff_at :]


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
    """Why no test runs some lines: those with this text, in this function, or both.

    Of mutants that survive, it may name the operator, or a fault that somebody wrote, alone.
    """

    file: str
    reason: str
    line: str = ""  # the line's text, without white space around it
    function: str = ""
    operator: str = ""
    fault: str = ""  # the name of its patch
    equivalent: bool = False  # no test can tell these mutants from the series


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
    survives: tuple[Explained, ...] = ()  # mutants that no test can kill
    cover_letter: str = ""
    origin: Path | None = None
    mailing: Mailing | None = None  # None for a series that does not come from a mail
    posting: Posting = field(default_factory=lambda: Posting())  # noqa: PLW0108 - it is defined below
    notices: tuple[str, ...] = ()  # what a reader should know of how it was read


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
    base_commit: str = ""  # what the series was made on, in hex, where it says so


@dataclass(frozen=True, slots=True)
class Trailer:
    """A trailer that somebody gave in a reply, for one patch or, from the cover letter, for all."""

    patch: int  # counted from 1; 0: all of them
    text: str  # Reviewed-by: Name <address>
    message_id: str = ""  # of the reply, without its brackets


@dataclass(frozen=True, slots=True)
class Posting:
    """What a posted series says of itself beside its patches, and what replies add."""

    version: int = 1
    base_commit: str = ""  # in hex
    kernels: str = ""  # the stable kernels it was posted for: 6.1/6.6
    other_kernels: tuple[str, ...] = ()  # those that its thread has other forms for
    prerequisites: tuple[str, ...] = ()  # patch ids of what must be applied before, in hex
    change_id: str = ""
    links: tuple[str, ...] = ()  # Link: trailers
    lists: tuple[str, ...] = ()  # addresses of the mailing lists it was sent to
    trailers: tuple[Trailer, ...] = ()  # shown; not part of the patches


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
