"""What a benchmark gave: its samples, its rows, and what can be said of them. Pure.

A sample is one batch of operations and the same loop without them; what an operation costs is
their difference. Under the ``insn`` clock the unit is an instruction, under ``wall`` a nanosecond.
"""

from __future__ import annotations

import fnmatch
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

INSN, WALL = "insn", "wall"
CONFIDENCE = 0.95


class Sample(NamedTuple):
    """One batch: how many operations, what they took, and what the loop alone took."""

    operations: int
    ticks: int
    idle: int


@dataclass(frozen=True, slots=True)
class Row:
    """The samples of one path, run by run; ``unit`` is what a tick is in the result's unit."""

    name: str
    runs: tuple[tuple[Sample, ...], ...]
    units: tuple[float, ...]  # for each run


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A whole benchmark. ``bench.json`` is this type, written out."""

    clock: str  # insn or wall
    where: str  # guest or host
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]  # why a row has no figure, by its name
    rate: float  # insn: nanoseconds that the machine's clock gives an instruction; wall: 0
    started: str  # ISO 8601, UTC
    seconds: float
    toolkit: str
    command: tuple[str, ...]
    series: str = ""
    patches: tuple[str, ...] = ()
    kernel: str = ""  # debian:6.12
    release: str = ""
    config: str = ""  # the key of the kernel's configuration
    compiler: str = ""
    qemu: str = ""  # its version
    qemu_command: tuple[str, ...] = ()
    accelerator: str = ""
    suite: str = "doorbell"  # the only one that there was when files did not say
    schema: int = 1

    @property
    def unit(self) -> str:
        """What a cost is given in."""
        return "instructions" if self.clock == INSN else "ns"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation costs: the middle, and where the truth lies.

    Under ``insn`` these bounds are the smallest and the largest run, under ``wall`` the 95 %
    confidence interval of the median over all samples.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """How far the bounds lie apart, as a part of the value."""
        return (self.high - self.low) / self.value if self.value else 0.0


def costs(bench: Benchmark) -> dict[str, Cost]:
    """Return the cost of each row by its name, in the order of the rows."""
    return {row.name: _cost(row, by_run=bench.clock == INSN) for row in bench.rows}


def _cost(row: Row, *, by_run: bool) -> Cost:
    runs = [
        [(sample.ticks - sample.idle) * unit / sample.operations for sample in run]
        for run, unit in zip(row.runs, row.units, strict=True)
    ]
    if by_run:
        # The median leaves out the batches that the timer interrupted: they are less than half.
        medians = [statistics.median(run) for run in runs]
        return Cost(row.name, statistics.median(medians), min(medians), max(medians))
    values = [value for run in runs for value in run]
    return Cost(row.name, statistics.median(values), *median_interval(values))


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the median's 95 % confidence interval.

    They are order statistics: the number of values below the true median is binomial whatever
    the distribution. With too few values for that confidence, all of them lie in between.
    """
    ordered = sorted(values)
    count, tail, cut = len(ordered), 0.0, 0
    while cut < count // 2:
        tail += math.comb(count, cut) / 2**count
        if tail > (1 - CONFIDENCE) / 2:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[count - 1 - cut]


# --- comparing ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """How one row differs between two benchmarks; one of the two may lack it."""

    name: str
    before: Cost | None
    after: Cost | None

    @property
    def change(self) -> float:
        """The growth as a part of what it was before; 0 where one side is missing."""
        if not self.before or not self.after or not self.before.value:
            return 0.0
        return self.after.value / self.before.value - 1

    @property
    def beyond_spread(self) -> bool:
        """Whether the two ranges do not even touch."""
        if not self.before or not self.after:
            return False
        return self.after.low > self.before.high or self.after.high < self.before.low

    def regressed(self, tolerance: float) -> bool:
        """Whether the row is gone, or has grown by more than its spread and ``tolerance``."""
        if self.before and not self.after:
            return True
        return self.beyond_spread and self.change > tolerance


def compare(before: Benchmark, after: Benchmark, globs: Sequence[str] = ()) -> list[Move]:
    """Return how each row of either benchmark moved, in the order of the first one.

    ``globs`` name the rows to look at; without any it is all of them.
    """
    old, new = costs(before), costs(after)
    return [
        Move(name, old.get(name), new.get(name))
        for name in dict.fromkeys((*old, *new))
        if not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)
    ]


_SETTING = ("clock", "where", "rate", "release", "config", "compiler", "qemu", "accelerator")


def differences(before: Benchmark, after: Benchmark) -> list[str]:
    """Return in words what differs in how two benchmarks were made, the series excepted.

    With any of these, absolute figures are those of two different things.
    """
    return [
        f"{name}: {getattr(before, name)} against {getattr(after, name)}"
        for name in _SETTING
        if getattr(before, name) != getattr(after, name)
    ]
