"""The frozen types of what surrounds a result: where it was made, from what mail, whose line broke.

They are parts of :class:`toolkit.model.RunResult`, and stand apart from it since nothing but the
reports looks into them.
"""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a run was made, and of what. What it did not come to is empty."""

    host: str = ""  # the distribution and the host's own kernel; never the host's name
    processor: str = ""
    cpus: int = 0
    memory_mib: int = 0
    python: str = ""
    architecture: str = ""
    compiler: str = ""
    config: str = ""  # digest of the kernel configuration
    build: str = ""  # key of the kernel build
    image: str = ""  # its name and key
    machine: str = ""  # what QEMU was asked for
