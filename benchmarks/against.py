"""Compares the toolkit of this checkout with another one's: the same probes, in turns.

Both run as processes, by their own ``.venv/bin/toolkit``, so the other one may be laid out in any
way. Each has a cache of its own in its work folder, for two layouts would keep undoing each other's
builds in one. The first round, which does not count, fills it; each edit is one that nobody has
built.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.runs import PROJECT, SERIES, VERDICT, Watched, edited_root, seconds_of, watch
from benchmarks.speed_bars import Samples

SHORT = "iosignalfd_args_test"  # a program that ends as soon as it has begun
_NUMBERS = itertools.count(int(time.time()) % 100_000)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkouts, and what was measured of it, round by round."""

    checkout: Path
    program: Path
    work: Path
    samples: Samples = field(default_factory=dict)

    @property
    def command(self) -> tuple[str | Path, ...]:
        """The toolkit, with this side's own cache."""
        return "env", f"XDG_CACHE_HOME={self.work / 'cache'}", self.program

    def keep(self, **values: float) -> None:
        """Add one round's values."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(value)

    def build_and_test(
        self, *words: str, root: Path | None = None, until_verdict: bool = False
    ) -> Watched:
        """Test the series, with the patches of ``root`` where one is named."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=self.work) as folder:
            command: list[str | Path] = [*self.command, *(("--root", root) if root else ())]
            command += ["build-and-test", "--patch", SERIES, "--run-dir", folder, *words]
            return watch(command, VERDICT, self.checkout, stop=until_verdict)


def start_up(side: Side, *words: str) -> float:
    return seconds_of([*side.command, *words], side.checkout)


def warm(side: Side) -> None:
    """Nothing has changed: from the start to one short program's verdict, and to the end."""
    seen = side.build_and_test("--test", SHORT)
    side.keep(warm=seen.first, warm_to_the_end=seen.total)


def whole(side: Side) -> None:
    """Nothing has changed, and all of the series' programs run."""
    seen = side.build_and_test()
    side.keep(verdict=seen.total, memory=seen.peak)


def edit(side: Side) -> None:
    """One line of the series changes: from the start to one short program's verdict."""
    root = edited_root(side.work / "root", side.checkout, next(_NUMBERS))
    side.keep(edit=side.build_and_test("--test", SHORT, root=root, until_verdict=True).first)


Probe = Callable[[Side], None]
# By the names of the rows that they give.
PROBES: Mapping[str, Probe] = {
    "help": lambda side: side.keep(help=start_up(side, "--help")),
    "list": lambda side: side.keep(list=start_up(side, "series", "list")),
    "warm": warm,
    "edit": edit,
    "verdict": whole,
    "memory": whole,
}


def sides(other: Path, work: Path) -> tuple[Side, Side]:
    """Return this checkout and another one; the program ends where either has no toolkit."""
    programs = Path(sys.executable).parent / "toolkit", other / ".venv/bin/toolkit"
    for program in programs:
        if not program.is_file():
            sys.exit(f"there is no {program}: run ./bootstrap true in that checkout")
    for name in ("this", "other"):
        (work / name).mkdir(parents=True, exist_ok=True)
    return Side(PROJECT, programs[0], work / "this"), Side(other, programs[1], work / "other")


def measure(pair: tuple[Side, Side], names: Sequence[str], rounds: int) -> None:
    """Take the probes in turns on both sides, which change places from round to round."""
    for name in names:
        if name not in PROBES:
            print(f"{name}: not compared, it is measured inside this toolkit", file=sys.stderr)
    probes = {PROBES[name]: name for name in reversed(names or [*PROBES]) if name in PROBES}
    for number in range(rounds + 1):
        for probe, name in reversed(probes.items()):
            for side in pair if number % 2 else reversed(pair):
                print(f"round {number}: {name} of {side.checkout} ...", file=sys.stderr, flush=True)
                probe(side)
        if number == 0:
            for side in pair:
                side.samples.clear()


def table(this: Samples, other: Samples) -> Iterator[str]:
    """Yield a table in Markdown: medians of both sides, and of the rounds' ratios."""
    yield "| row | this | other | this / other | spread |"
    yield "|---|---|---|---|---|"
    for name, values in this.items():
        ratios = [top / bottom for top, bottom in zip(values, other[name], strict=True)]
        unit = "MiB" if name == "memory" else "s"
        ours, theirs = statistics.median(values), statistics.median(other[name])
        yield (
            f"| {name.replace('_', ' ')} | {ours:.3g} {unit} | {theirs:.3g} {unit} "
            f"| {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} |"
        )
