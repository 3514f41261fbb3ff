"""A matrix of runs: its cells, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.core.model.result import Verdict
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import Status

AXES = ("series", "kernel", "config", "profile", "toolchain", "arch", "image", "suite")


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a matrix: a value of each axis, and how it is tested.

    An empty ``series`` is the unpatched base, an empty ``suite`` stands for those that the series
    names, and an empty ``profile`` for none.
    """

    series: str
    kernel: str
    config: str
    profile: str
    toolchain: str
    arch: str
    image: str
    suite: str
    slow: bool = False
    repeat: int = 1
    baseline: bool = False
    accel: str = "auto"
    seconds: float = 7200.0  # that each of its tasks may take
    known_failures: tuple[KnownFailure, ...] = ()

    @property
    def axes(self) -> dict[str, str]:
        """The value of each axis; they tell the cells of a matrix apart."""
        return {axis: getattr(self, axis) for axis in AXES}


@dataclass(frozen=True, slots=True)
class Part:
    """One run that a cell's result was made of: all of its programs, or a shard of them."""

    folder: str  # with its logs, relative to the matrix's; "" where it left none
    verdict: Verdict
    exit_code: int
    seconds: float
    attempts: int = 1  # more than one where hosts failed
    message: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a cell since it was last run, with the same values of all axes."""

    started: str  # ISO 8601, UTC: when that was
    verdict: Verdict  # that it had
    broken: tuple[str, ...] = ()  # leaves that are bad, and were not
    mended: tuple[str, ...] = ()  # leaves that were bad, and are not


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of a cell."""

    name: str
    cell: Cell
    verdict: Verdict
    exit_code: int
    command: tuple[str, ...]  # repeats it by itself
    message: str = ""
    release: str = ""
    folder: str = ""  # with its report, relative to the matrix's; "" where it has none
    counts: Mapping[Status, int] = field(default_factory=dict)
    bad: tuple[str, ...] = ()  # leaves that fail it; not all of many
    seconds: float = 0.0  # that its own jobs took
    parts: tuple[Part, ...] = ()
    change: Change | None = None  # None where it was never run before


@dataclass(frozen=True, slots=True)
class MatrixResult:
    """A whole matrix. ``matrix.json`` is this type, written out; its schema is made from it."""

    title: str
    exit_code: int
    command: tuple[str, ...]
    started: str  # ISO 8601, UTC
    seconds: float
    toolkit: str  # version of the toolkit
    cells: tuple[CellResult, ...]
    schema: int = 1
