"""What a benchmark prints, parsed. Pure; its lines come from a guest and are not trusted.

One a line::

    clock NAME UNITS-PER-TICK                   insn 0.5, or ns 0.4
    skip ROW why                                this kernel or host cannot do it
    fail ROW why                                it did not do what it should
    sample ROW OPERATIONS TICKS IDLE-TICKS      a batch, and its loop without the operation
    done
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from toolkit.bench.samples import Sample
from toolkit.core.errors import InfrastructureError
from toolkit.core.text import visible

MAX_LINES = 100_000
_NAME = re.compile(r"[a-z0-9][a-z0-9/_-]{0,47}")
_COUNT = re.compile(r"[0-9]{1,18}")
_UNIT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SHOWN = 80  # characters of a line that an error repeats


@dataclass(slots=True)
class BenchLog:
    """One run of the program: its clock and, by row, samples or why there are none."""

    clock: str = ""
    unit: float = 0.0  # of the clock, in one tick
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    done: bool = False


def parse(lines: Iterable[str]) -> BenchLog:
    """Return what the lines say; raise :class:`InfrastructureError` for one that is none of ours.

    A log that ends early is no error here: ``done`` is false then.
    """
    log = BenchLog()
    for number, line in enumerate(lines, 1):
        if number > MAX_LINES:
            raise InfrastructureError(f"the benchmark printed more than {MAX_LINES} lines")
        words = line.split()
        if words and not _take(log, words):
            raise InfrastructureError(
                f"line {number} of the benchmark is not understood: {visible(line)[:_SHOWN]}",
                hint="was the program built from this checkout?",
            )
    return log


def _take(log: BenchLog, words: list[str]) -> bool:
    """Note one line; return whether it is well formed."""
    match words:
        case ["clock", "insn" | "ns" as name, unit] if _UNIT.fullmatch(unit):
            log.clock, log.unit = name, float(unit)
            return log.unit > 0
        case ["skip" | "fail" as kind, row, *why] if _NAME.fullmatch(row):
            (log.skipped if kind == "skip" else log.failed)[row] = " ".join(why)
        case ["sample", row, *numbers] if _NAME.fullmatch(row) and len(numbers) == 3:
            if not all(map(_COUNT.fullmatch, numbers)) or not int(numbers[0]):
                return False
            log.samples.setdefault(row, []).append(Sample(*map(int, numbers)))
        case ["done"]:
            log.done = True
        case _:
            return False
    return True
