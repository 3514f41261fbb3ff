"""What ``doorbell_bench`` prints, parsed. Pure; its lines come from a guest and are not trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from toolkit.bench.samples import Sample
from toolkit.core.errors import InfrastructureError
from toolkit.core.text import visible

MAX_LINES = 100_000
MAX_TICKS = 1 << 62
_NAME = re.compile(r"[a-z0-9][a-z0-9/_-]{0,47}")
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
        case ["clock", name, unit] if name in ("insn", "ns"):
            log.clock, log.unit = name, _positive(unit)
            return log.unit > 0
        case ["skip", row, *why] if _NAME.fullmatch(row):
            log.skipped[row] = " ".join(why)
        case ["fail", row, *why] if _NAME.fullmatch(row):
            log.failed[row] = " ".join(why)
        case ["sample", row, *numbers] if _NAME.fullmatch(row) and len(numbers) == 3:
            if not all(n.isascii() and n.isdecimal() and int(n) < MAX_TICKS for n in numbers):
                return False
            sample = Sample(*map(int, numbers))
            if not sample.rings:
                return False
            log.samples.setdefault(row, []).append(sample)
        case ["done"]:
            log.done = True
        case _:
            return False
    return True


def _positive(word: str) -> float:
    return float(word) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", word) else 0.0
