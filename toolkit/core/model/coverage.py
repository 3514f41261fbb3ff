"""Which lines of a series the tests ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineRun:
    """A line of a hunk, and who ran it.

    One without code, and one that a later patch changed again, has no ``number``.
    """

    text: str  # with its sign
    number: int = 0  # in the patched tree, counted from 1
    ran: tuple[int, ...] = ()  # which of ``Coverage.programs`` ran it
    explained: str = ""  # why none does, as series.yaml says


@dataclass(frozen=True, slots=True)
class HunkRun:
    """A hunk with code in it, its header first."""

    patch: int  # which of the series, counted from 1
    file: str
    lines: tuple[LineRun, ...]


@dataclass(frozen=True, slots=True)
class PatchRun:
    """How many of the lines that a patch wrote have code, were run, and are explained."""

    patch: int
    subject: str
    lines: int
    ran: int
    explained: int  # of those that were not


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which lines of the series the tests ran: those that it adds, as they are in the end."""

    programs: tuple[str, ...]  # suite/program, or boot for what ran before the first of them
    patches: tuple[PatchRun, ...]  # those that wrote lines with code
    hunks: tuple[HunkRun, ...]
    unbuilt: tuple[str, ...] = ()  # C files of the series that are not in this kernel
    lost: tuple[str, ...] = ()  # programs whose counters could not be had, and why
    wanted: float | None = None  # the percentage that was asked for
