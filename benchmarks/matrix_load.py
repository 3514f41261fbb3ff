"""What a matrix itself costs, on work that takes no time: ``python -m benchmarks.matrix_load``.

For each size there is a scheduler, a few processes with 50 workers each, and a client, which talk
over the loopback. The workers' jobs end at once (``--seconds``: after a while). All else is real:
Dask, the client's loop, the folder with everything that has ended, the reports. With ``--deaths``
a worker dies each second, in mid-job and without a word, and another one comes.

It prints a line of JSON for each size. What costs what is in seconds of CPU, which other work on
the machine hardly changes.
"""

# ruff: noqa: ARG002 - what stands for something takes what that does

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask

from tests import a_result
from toolkit.core import paths
from toolkit.core.model.matrix import Cell
from toolkit.core.model.testing import Leaf, Status
from toolkit.matrix import cells, inputs, offers, outcome, run, version
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.outcome import Outcome
from toolkit.matrix.parcel import Source
from toolkit.matrix.station import Done, Station
from toolkit.report import artifacts

SIZES = (100, 1000, 10_000)
SUITES = 4  # that share a build
SERIES = 25
LEAVES = 12
INPUTS = 150_000  # bytes that a matrix of two series of this checkout takes
PER_PROCESS = 50  # workers
# What each worker does for itself a few times a second: of 50 in one process that is most.
_WORKERS_OWN = {
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
}
_OFFERS = {
    offers.of_version(version.this()): 1,
    "VM x86_64": 1,
    "build x86_64": 1,
    "toolchain gcc x86_64": 1,
    "kernel sources": 1,
    "memory in MiB": 1 << 20,
}


# --- the processes -----------------------------------------------------------------------------


async def _schedule() -> None:
    from toolkit.matrix.cluster import SETTINGS, QuietScheduler, quiet

    quiet()
    with dask.config.set(SETTINGS):
        scheduler = QuietScheduler(host="127.0.0.1", port=0, dashboard=False)
        await scheduler
        print(scheduler.address, flush=True)
        await scheduler.finished()


@dataclass(slots=True)
class Idle(Station):
    """Does jobs by waiting, has a result for each, and writes down which it has done."""

    seconds: float = 0.0
    archive: bytes = b""
    log: Path = Path()

    def perform(self, job: Job, client: str, earlier: Any = None) -> Done:
        time.sleep(self.seconds)
        with self.log.open("a") as file:
            file.write(f"{job.name}\n")
        suites = tuple((f"suite{n}", ("a_test",)) for n in range(SUITES))
        ended = Outcome(job.name, 0, self.seconds, self.name, suites=suites, memory_mib=512)
        if job.kind in (Kind.FETCH, Kind.BUILD):
            return Done(ended, Source())
        return Done(replace(ended, suites=(), archive=self.archive))


async def _work(address: str, name: str, count: int, seconds: float, deaths: float) -> None:
    """Keep so many workers; one of them dies after each ``deaths`` seconds, unless that is 0."""
    from toolkit.matrix import cluster
    from toolkit.matrix.dask_worker import StationWorker

    cluster.quiet()
    archive = _packed_result()

    async def another(number: int) -> StationWorker:
        log = Path(f"done.{name}")
        its = Idle(f"{name}/{number}", seconds=seconds, archive=archive, log=log)
        worker = StationWorker(address, station=its, resources=_OFFERS, host="127.0.0.1")
        await worker
        return worker

    with dask.config.set(_WORKERS_OWN):
        workers = [await another(number) for number in range(count)]
        print("ready", flush=True)
        number = count
        while True:
            await asyncio.sleep(deaths or 3600.0)
            victim = workers.pop(random.randrange(len(workers)))
            victim.batched_stream.comm.abort()
            workers.append(await another(number))
            number += 1


def _packed_result() -> bytes:
    """Return the run folder of a small run."""
    leaves = tuple(Leaf(f"kvm/a_test/case_{n}", Status.PASS, "", 0.1) for n in range(LEAVES))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = artifacts.to_json(replace(a_result.PASSED, leaves=leaves, stages=()))
        (folder / artifacts.RESULT).write_bytes(data)
        return outcome.pack(folder)


class Quiet:
    """Shows nothing, and remembers when the last job ended."""

    def __init__(self) -> None:
        self.last = self.used = 0.0
        self.again = 0

    def notice(self, text: str) -> None:
        """Ignore it."""

    def job_ended(self, title: str, worker: str, seconds: float, fate: str) -> None:
        """Note when, and whether it is tried again."""
        self.last, self.used = time.monotonic(), time.process_time()
        self.again += "again" in fate

    def cell_ended(self, label: str, exit_code: int, text: str) -> None:
        """Fail if it is no pass: nothing may be lost."""
        assert exit_code == 0, f"{label}: {text}"

    def look(self, progress: object) -> None:
        """Ignore it."""


def _matrix_of(count: int) -> cells.Matrix:
    """Return a matrix with so many cells."""
    made = tuple(
        Cell(
            series=f"s{number // SUITES % SERIES}",
            kernel=f"debian:6.{number // (SUITES * SERIES)}",
            config="tiny",
            profile="",
            toolchain="gcc",
            arch="x86_64",
            image="minimal",
            suite=f"suite{number % SUITES}",
        )
        for number in range(count)
    )
    return cells.Matrix("Load", made, 300.0, {})


def _ask(address: str, count: int) -> None:
    """Run a matrix of so many cells, and print what it cost."""
    from toolkit.matrix import remote

    matrix, quiet, archive = _matrix_of(count), Quiet(), os.urandom(INPUTS)
    inputs.gather = lambda its, _: inputs.Inputs(archive, tuple(its))  # type: ignore[assignment]
    asked = run.Asked(Path("load.yaml"), ("toolkit", "matrix"), Path("out"), patience=60.0)
    opened = remote.of_scheduler(address, None, quiet.notice)
    began, used = time.monotonic(), time.process_time()
    result, _ = run.run(matrix, asked, paths.resolve(), opened, quiet)
    ended, all_used = time.monotonic(), time.process_time()
    assert len(result.cells) == count
    cost = {
        "seconds": round(quiet.last - began, 1),
        "seconds to the report": round(ended - quiet.last, 2),
        "of which CPU": round(all_used - quiet.used, 2),
        "jobs tried again": quiet.again,
        "client: ms of CPU a cell": round(1000 * (all_used - used) / count, 2),
    }
    print(json.dumps(cost), flush=True)
    sys.stdin.read()  # until its memory and time were looked at


# --- the measurement ---------------------------------------------------------------------------


@contextlib.contextmanager
def _started(folder: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Run this module in a process of its own, with what it needs of the checkout."""
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.matrix_load", *map(str, words)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "a process has failed; it says why"
    return line


def measure(count: int, workers: int, seconds: float, deaths: bool) -> Mapping[str, Any]:
    """Return what a matrix of so many cells cost."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="matrix-load-")))
        scheduler = stack.enter_context(_started(folder, "--schedule"))
        address = _line(scheduler).strip()
        parts = -(-workers // PER_PROCESS)
        hosts = [
            stack.enter_context(
                _started(
                    folder,
                    *("--work", address, f"host{number}"),
                    *("--workers", len(range(number, workers, parts)), "--seconds", seconds),
                    *(("--every", parts) if deaths else ()),
                )
            )
            for number in range(parts)
        ]
        for host in hosts:
            _line(host)
        before = _cpu(scheduler)
        client = stack.enter_context(_started(folder, "--ask", address, "--cells", count))
        cost = json.loads(_line(client))
        names = [name for file in folder.glob("done.*") for name in file.read_text().splitlines()]
        used = _cpu(scheduler) - before
        tests = {name for name in names if name.startswith("test-")}
        assert len(tests) == count, f"{count - len(tests)} cells were not tested"
        return {
            "cells": count,
            "workers": workers,
            **cost,
            "jobs": len(set(names)),
            "jobs done twice": len(names) - len(set(names)),
            "scheduler: ms of CPU a cell": round(1000 * used / count, 2),
            "client: MiB at most": _most_mib(client),
            "scheduler: MiB at most": _most_mib(scheduler),
        }


def _cpu(process: subprocess.Popen[str]) -> float:
    """Return the seconds of CPU that a process has used (proc(5): utime and stime)."""
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _most_mib(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def main(words: Sequence[str]) -> None:
    """Print a line of JSON for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="*", default=SIZES)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.0, help="that each job takes")
    parser.add_argument("--deaths", action="store_true", help="a worker dies each second")
    parser.add_argument("--schedule", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--every", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.schedule:
        asyncio.run(_schedule())
    elif given.work:
        address, name = given.work
        asyncio.run(_work(address, name, given.workers, given.seconds, given.every))
    elif given.ask:
        _ask(given.ask, given.cells[0])
    else:
        for count in given.cells:
            cost = measure(count, given.workers, given.seconds, given.deaths)
            print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
