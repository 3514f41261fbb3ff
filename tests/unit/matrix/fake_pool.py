"""A pool in which time is a number, and jobs end as a test wants them to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolkit.core.model.matrix import Cell
from toolkit.matrix import jobs, offers
from toolkit.matrix.jobs import Job, Kind, Planned
from toolkit.matrix.offers import Offers
from toolkit.matrix.outcome import Ended, Outcome
from toolkit.matrix.pool import Finished, Handle

RUN = "0123456789abcdef"
VERSION = "1.0 (abc)"
VM, KVM, BUILD = (jobs.of_arch(kind, "x86_64") for kind in (jobs.VM, jobs.KVM, jobs.BUILD))
WHOLE: Offers = {
    offers.of_version(VERSION): 1,
    VM: 1,
    BUILD: 1,
    jobs.toolchain("gcc", "x86_64"): 1,
    jobs.MEMORY: 4096,
    jobs.SOURCES: 1,
}
SUITES = (("kvm", ("a_test", "b_test", "c_test")), ("net", ("a_test", "d_test")))


def cell(series: str = "v4", kernel: str = "k", suite: str = "kvm", **more: object) -> Cell:
    return Cell(series, kernel, "tiny", "", "gcc", "x86_64", "minimal", suite, **more)  # type: ignore[arg-type]


def planned(*cells: Cell) -> list[Planned]:
    return jobs.planned(cells, cells)


def outcome(job: Job, exit_code: int = 0, worker: str = "one", message: str = "") -> Outcome:
    built = job.kind is Kind.BUILD and exit_code == 0
    suites = [each for each in SUITES if each[0] in job.words] or SUITES
    return Outcome(
        job.name,
        exit_code,
        1.0,
        worker,
        message,
        suites=tuple(suites) if built else (),
        memory_mib=512 * built,
    )


Play = Callable[
    [Job, str, int], Outcome | str
]  # a job, its worker, its attempt; a text: it is lost


@dataclass
class Given:
    job: Job
    after: Handle | None
    on: frozenset[str]
    rank: float


@dataclass
class FakePool:
    """Ends one job for each worker at each :meth:`wait`, those of a higher rank first."""

    workers: dict[str, Offers] = field(default_factory=lambda: {"one": WHOLE})
    play: Play = lambda job, worker, _: outcome(job, worker=worker)
    given: dict[int, Given] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)  # titles, and where
    released: list[int] = field(default_factory=list)
    stopped: bool = False
    forgotten: bool = False
    keepers: dict[str, str] = field(default_factory=dict)
    most: int = 0  # jobs that it had at a time
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _running: dict[int, Given] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)

    def offers(self) -> Mapping[str, Offers]:
        return dict(self.workers)

    def submit(
        self, job: Job, needs: Offers, *, after: Handle | None, on: Collection[str], rank: float
    ) -> Handle:
        assert after is None or after not in self.released
        number = next(self._numbers)
        self.given[number] = self._running[number] = Given(job, after, frozenset(on), rank)
        self.most = max(self.most, len(self._running))
        return number

    def keeper(self, name: str) -> str:
        return self.keepers.get(name, "")

    def wait(self, seconds: float) -> Sequence[Finished]:
        ended = []
        for worker in self.workers:
            fit = [n for n, given in self._running.items() if not given.on or worker in given.on]
            if not fit:
                continue
            number = max(fit, key=lambda n: (self._running[n].rank, -n))
            job = self._running.pop(number).job
            attempt = self._attempts[job.name] = self._attempts.get(job.name, 0) + 1
            self.done.append((job.title, worker))
            played = self.play(job, worker, attempt)
            if isinstance(played, str):
                ended.append(Finished(number, None, played))
            else:
                ended.append(Finished(number, played))
        return ended

    def running(self) -> Mapping[str, str]:
        return {given.job.title: next(iter(self.workers), "") for given in self._running.values()}

    def release(self, handle: Handle) -> None:
        assert isinstance(handle, int)
        assert handle not in self.released
        self.released.append(handle)
        self._running.pop(handle, None)

    def forget(self) -> None:
        self.forgotten = True

    def stop(self) -> None:
        self.stopped = True


@dataclass
class FakeBook:
    """Keeps everything in memory; a cell's exit code is the worst of its parts'."""

    jobs: dict[str, Ended] = field(default_factory=dict)
    cut: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    cells: dict[str, list[tuple[str, Ended]]] = field(default_factory=dict)

    def ended(self, name: str) -> Ended | None:
        return self.jobs.get(name)

    def shards(self, name: str) -> tuple[tuple[str, ...], ...] | None:
        return self.cut.get(name)

    def store_shards(self, name: str, shards: Sequence[Sequence[str]]) -> None:
        self.cut[name] = tuple(map(tuple, shards))

    def store_job(self, job: Job, ended: Ended) -> None:
        self.jobs[job.name] = replace(ended, outcome=replace(ended.outcome, archive=b""))

    def store_cell(self, its: Planned, parts: Sequence[tuple[Job, Ended]]) -> tuple[int, str]:
        assert its.name not in self.cells, f"{its.name} ended twice"
        self.cells[its.name] = [(job.title, ended) for job, ended in parts]
        return max(ended.outcome.exit_code for _, ended in parts), "so"
