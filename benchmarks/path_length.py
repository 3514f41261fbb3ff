"""Show where a row of the doorbell benchmark spends its instructions, function by function.

    python -m benchmarks.path_length iosignalfd/v5 null-pio 'iosignalfd-pio/any/1'

QEMU logs every instruction of a second's work of a row; what lies between two rings is cut out,
counted by the guest's own symbols, and printed. A ring is taken whose length is the most common.
"""

from __future__ import annotations

import bisect
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.bench import manifest, runner
from toolkit.core import paths
from toolkit.core.observer import Silent
from toolkit.vm.machine import Machine
from toolkit.vm.ssh import GuestSession
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

SUITE = "doorbell"
# kselftests/lib/guest_layout.h: where the innermost guest has its code
GUEST_CODE = range(0x8000, 0x9000)
KERNEL_HALF = 1 << 47
_PC = re.compile(rb"\[[0-9a-f]+/([0-9a-f]+)/")
Symbols = list[tuple[int, str]]


def symbols(session: GuestSession, run: Run) -> Symbols:
    """Return the functions of the guest's kernel and modules, by address."""
    functions = []
    for line in session.check("cat /proc/kallsyms", deadline=run.deadline).text.splitlines():
        address, kind, *name = line.split()
        if kind in "tTwW":
            functions.append((int(address, 16), "".join(name)))
    return sorted(functions)


def log_command(command: str, machine: Machine, session: GuestSession, run: Run, log: Path) -> None:
    """Have QEMU log a second's instructions while the guest runs a command."""
    start = f"({command} >/dev/null & echo $! >/tmp/pid)"
    session.check(start, deadline=run.deadline)
    time.sleep(1.5)  # until it is set up and warm
    monitor = machine._monitor
    for line in (f"logfile {log}", "singlestep on", "log exec,nochain"):
        monitor.human(line)
    time.sleep(1.0)
    for line in ("log none", "singlestep off"):
        monitor.human(line)
    session.check("kill -9 $(cat /tmp/pid)", deadline=run.deadline)


def rings(log: Path) -> Iterator[list[int]]:
    """Yield the addresses of each ring: from one time in the innermost guest to the next."""
    ring: list[int] = []
    inside = False
    with log.open("rb") as lines:
        for line in lines:
            if not (match := _PC.search(line)):
                continue
            pc = int(match[1], 16)
            if pc in GUEST_CODE and not inside:
                yield ring
                ring = []
            inside = pc in GUEST_CODE
            ring.append(pc)


def function(pc: int, functions: Symbols) -> str:
    if pc >= KERNEL_HALF:
        return functions[bisect.bisect_right(functions, (pc, "\x7f")) - 1][1]
    return "(the guest)" if pc in GUEST_CODE else "(user space)"


def show(row: str, log: Path, functions: Symbols) -> None:
    whole = list(rings(log))[1:]  # the log begins in the middle of one
    if not whole:
        print(f"{row}: no ring was seen")
        return
    length, count = Counter(map(len, whole)).most_common(1)[0]
    print(f"{row}: {length} instructions in {count} of {len(whole)} rings, with the guest's loop")
    chosen = next(ring for ring in whole if len(ring) == length)
    for name, number in Counter(function(pc, functions) for pc in chosen).most_common():
        print(f"{number:7} {name}")


def main(series: str, rows: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="toolkit-path-") as name:
        folder = Path(name)
        request = Request(patch=series, suites=(SUITE,), accel="tcg")
        places = paths.resolve()
        run = Run(request, places, folder, Silent())
        plan = runner.Plan(SUITE, manifest.load(places.suites, SUITE), clock="insn")
        with runner.pool(run, plan).boot() as booted:
            machine, session = booted.machine, booted.session
            runner.install(run, plan, session)
            functions = symbols(session, run)
            guest = runner.guest_folder(plan)
            for row in rows:
                log = folder / "exec.log"
                command = f"exec {guest}/{plan.about.program} -r 100000 '{row}'"
                log_command(command, machine, session, run, log)
                show(row, log, functions)
                log.unlink()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
