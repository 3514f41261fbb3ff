"""Measure `toolkit watch`: from the save of an edited line to the first verdict, and to the last.

    python -m benchmarks.watch_loop --rounds 5
    python -m benchmarks.watch_loop --against CHECKOUT --rounds 5

Each edit is one that nobody has built. With another checkout both loops stay open, and edits take
turns; each has a root and a cache of its own in the work folder.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.runs import EDITED, PATIENCE, PROJECT, SERIES, VERDICT, edited_root, environment

_WAITS = re.compile(rb"^waiting for an edit", re.MULTILINE)
_EDITED = re.compile(rf"(^\+\t{re.escape(EDITED)})[^,]*,", re.MULTILINE)
_NUMBERS = itertools.count(int(time.time()) % 100_000)
_ROWS = {"first": "save of an edited line to the first verdict", "last": "the same to the last one"}


@dataclass(slots=True)
class Loop:
    """One `toolkit watch` that is open, with its root, its output, and what was measured of it."""

    checkout: Path
    root: Path
    output: Path
    child: subprocess.Popen[bytes]
    samples: dict[str, list[float]] = field(default_factory=dict)

    def edit(self) -> None:
        """Save an edit, and keep how long its verdicts took."""
        self.wait(_WAITS, 0)
        place, number = self.output.stat().st_size, next(_NUMBERS)
        began = time.monotonic()
        for path in (self.root / "patches" / SERIES).rglob("*.patch"):
            text = _EDITED.sub(rf"\1 + {number},", path.read_text())
            if text != path.read_text():
                fresh = path.with_suffix(".new")
                fresh.write_text(text)
                fresh.rename(path)
        for name, pattern in (("first", VERDICT), ("last", _WAITS)):
            self.wait(pattern, place)
            self.samples.setdefault(name, []).append(time.monotonic() - began)

    def wait(self, pattern: re.Pattern[bytes], place: int) -> None:
        """Wait for a line of the output from byte ``place`` on."""
        end = time.monotonic() + PATIENCE
        while not pattern.search(self.output.read_bytes()[place:]):
            if self.child.poll() is not None or time.monotonic() > end:
                sys.exit(f"{self.checkout} came to no verdict:\n{self.output.read_text()[-2000:]}")
            time.sleep(0.01)


@contextlib.contextmanager
def opened(checkout: Path, program: Path, work: Path) -> Iterator[Loop]:
    """Yield a loop over the patches of a checkout; leaving interrupts it."""
    work.mkdir(parents=True, exist_ok=True)
    root = edited_root(work / "root", checkout, next(_NUMBERS))
    output = work / "output"
    command: list[str | Path] = [
        "env",
        "--default-signal=INT",
        f"XDG_CACHE_HOME={work / 'cache'}",
        program,
    ]
    command += ["--root", root, "watch", "--patch", SERIES]
    with output.open("wb") as file:
        child = subprocess.Popen(
            command, cwd=checkout, env=environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Loop(checkout, root, output, child)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


def main() -> None:
    """Run the loops, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout, set up by ./bootstrap true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/toolkit-watch-loop"))
    asked = parser.parse_args()
    checkouts = {"this": PROJECT, **({"other": asked.against.resolve()} if asked.against else {})}
    with contextlib.ExitStack() as stack:
        loops = {
            name: stack.enter_context(
                opened(checkout, checkout / ".venv/bin/toolkit", asked.work / name)
            )
            for name, checkout in checkouts.items()
        }
        for number in range(asked.rounds + 1):
            for name, loop in loops.items() if number % 2 else reversed(loops.items()):
                print(f"round {number}: {name} ...", file=sys.stderr, flush=True)
                loop.edit()
            if number == 0:  # which fills what the others find
                for loop in loops.values():
                    loop.samples.clear()
        for row, title in _ROWS.items():
            for name, loop in loops.items():
                values = loop.samples[row]
                print(
                    f"{title}, {name}: {statistics.median(values):.2f} s "
                    f"({min(values):.2f} to {max(values):.2f})"
                )
            if len(loops) > 1:
                pairs = zip(*(loop.samples[row] for loop in loops.values()), strict=True)
                print(f"  this / other: {statistics.median(a / b for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
