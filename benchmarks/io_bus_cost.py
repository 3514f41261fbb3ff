"""Count what the io-bus-order series costs or saves: instructions for one write of a guest.

    python -m benchmarks.io_bus_cost                     debian:6.12, five machines for each kernel
    python -m benchmarks.io_bus_cost --kernel debian:6.1 --runs 3

The kernel without and with the series runs kselftests/kvm-io-bus/io_bus_cost in machines whose
clock counts instructions, at 2 ns each (QEMU's -icount shift=1). They are those of the machine's
kernel, of its user space and of its own guest, from one write to the next. That is not a time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from toolkit.core import paths
from toolkit.core.model.machine import Accelerator
from toolkit.core.observer import Silent
from toolkit.testing.guest_program import FOLDER
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

SERIES = "io-bus-order/v1"
SUITE = "kvm-io-bus"
SHIFT = 1  # an instruction lasts 2**SHIFT ns
COUNTING = Accelerator("tcg", "max", "it counts instructions", icount=SHIFT)

Figures = dict[tuple[str, str, str], list[float]]  # bus, devices, hit or miss: one a machine


def measure(patch: str | None, kernel: str, runs: int) -> Figures:
    """Boot ``runs`` machines, and return the instructions for one write in each."""
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="toolkit-cost-") as folder:
        request = Request(patch=patch, kernel=kernel, suites=(SUITE,), snapshots=False)
        plain = Run(request, paths.resolve(), Path(folder), Silent())
        image = replace(plain.image, cpus=1)
        reached = replace(plain.reached, accelerator=COUNTING, image=image)
        run = Run(request, plain.paths, plain.folder, plain.observer, reached=reached)
        (suite,) = run.built_suites
        for _ in range(runs):
            with run.pool.boot() as guest:
                session = guest.session
                session.put(suite.path, f"{FOLDER}/{SUITE}", deadline=run.deadline)
                command = f"{FOLDER}/{SUITE}/io_bus_cost"
                for line in session.check(command, deadline=run.deadline).text.splitlines():
                    bus, devices, what, nanoseconds = line.split()
                    figures[bus, devices, what].append(float(nanoseconds) / 2**SHIFT)
    return figures


def median_and_spread(values: list[float]) -> str:
    """Return the median, and how far the machines are apart."""
    return f"{statistics.median(values):8.1f} ±{(max(values) - min(values)) / 2:<5.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", default="debian:6.12")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    before = measure(None, given.kernel, given.runs)
    after = measure(SERIES, given.kernel, given.runs)
    print(f"{'bus':<5} {'devices':>7} {'write':<5} {'before':>15} {'after':>15} {'change':>9}")
    for (bus, devices, what), values in before.items():
        now = after[bus, devices, what]
        change = statistics.median(now) - statistics.median(values)
        pair = f"{median_and_spread(values)} {median_and_spread(now)}"
        print(f"{bus:<5} {devices:>7} {what:<5} {pair} {change:+9.1f}")


if __name__ == "__main__":
    main()
