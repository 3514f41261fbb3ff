"""Gives jobs to the pool, and takes them back: no more than its workers can use, failures again.

Where a job runs, and in which order those of one worker do, is the pool's business (Dask's). It
gets twice as many as it has workers for them, so that none of those waits for its next one, and the
death of one reaches few. What failed for the infrastructure's sake is tried again, at most twice,
on another worker where there is one; a verdict never is.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.core.errors import EXIT_INFRASTRUCTURE
from toolkit.matrix import offers
from toolkit.matrix.jobs import Job, Kind, Subject
from toolkit.matrix.offers import Needs, Offers
from toolkit.matrix.outcome import Ended, Outcome
from toolkit.matrix.pool import Finished, Handle, Pool

ATTEMPTS = 3  # of a job whose host fails
_AHEAD = 2  # jobs that a worker has at a time: one that runs, and the next one
_FIRST = {Kind.TEST: 3.0, Kind.WHOLE: 2.0, Kind.BUILD: 1.0, Kind.FETCH: 0.0}  # ends a cell soonest
_SHOWN = 3  # workers that are named in a sentence
_LONGEST = 1e8  # seconds: more than any job takes


@dataclass(frozen=True, slots=True)
class Task:
    """A job to be done, and what for. ``after`` is the one that fetched or built what it needs.

    ``seconds`` is how long it may take, as far as that is known, and ``at_home`` what a worker
    offers that would have less to do for it.
    """

    job: Job
    subject: Subject
    after: Handle | None = None
    seconds: float = 0.0
    at_home: str = ""
    attempts: int = 0
    failed_on: frozenset[str] = frozenset()

    @property
    def rank(self) -> float:
        """How soon it should be done, beside others: the higher the sooner."""
        return _FIRST[self.job.kind] + min(self.seconds, _LONGEST - 1) / _LONGEST


@dataclass(frozen=True, slots=True)
class Done:
    """A job that has come to its end for good; ``handle`` is None where no worker ever had it."""

    task: Task
    ended: Ended
    handle: Handle | None


class Dispatcher:
    """Has a pool do jobs for workers of one ``version`` of the toolkit.

    What no worker can do is given up after ``patience`` seconds. ``on_retry`` hears of each attempt
    that failed and is followed by another one.
    """

    def __init__(
        self,
        pool: Pool,
        version: str,
        patience: float,
        on_retry: Callable[[Job, Ended], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._version, self._patience = pool, version, patience
        self._on_retry, self._clock = on_retry, clock
        self._ready: dict[Needs, list[tuple[float, int, Task]]] = {}
        self._running: dict[Handle, tuple[Task, frozenset[str]]] = {}  # and where it must run
        self._out: Counter[Needs] = Counter()
        self._helpless: dict[Needs, float] = {}  # since when no worker can do such jobs
        self._order = itertools.count()
        self._waiting: Counter[Kind] = Counter()

    @property
    def busy(self) -> bool:
        """Whether there is anything that has not come to its end."""
        return bool(self._running) or any(self._ready.values())

    def add(self, task: Task) -> None:
        """Have a job done."""
        ready = self._ready.setdefault(self._needs(task.job), [])
        heapq.heappush(ready, (-task.rank, next(self._order), task))
        self._waiting[task.job.kind] += 1

    @property
    def waiting(self) -> Mapping[Kind, int]:
        """How many jobs are not with a worker, by kind."""
        return self._waiting

    def step(self, seconds: float) -> list[Done]:
        """Give out what there is room for, and return what has ended within so many seconds."""
        offered = self._pool.offers()
        done = self._give_out(offered)
        self._bring_back(offered)
        for finished in self._pool.wait(0.0 if done else seconds):
            if ended := self._taken_back(finished):
                done.append(ended)
        return done

    # --- giving out ----------------------------------------------------------------------

    def _needs(self, job: Job) -> Needs:
        return ((offers.of_version(self._version), 1), *job.needs)

    def _give_out(self, offered: Mapping[str, Offers]) -> list[Done]:
        """Submit jobs; return those that are given up, since no worker can do them."""
        given_up = []
        for needs, ready in self._ready.items():
            able = {name for name, its in offered.items() if not offers.lacks(its, needs)}
            if not able and ready:
                given_up += self._helpless_with(needs, ready, offered)
                continue
            self._helpless.pop(needs, None)
            while ready and self._out[needs] < _AHEAD * len(able):
                *_, task = heapq.heappop(ready)
                self._waiting[task.job.kind] -= 1
                self._submit(task, needs, self._places(task, able, offered))
        return given_up

    def _places(self, task: Task, able: set[str], offered: Mapping[str, Offers]) -> frozenset[str]:
        """Return the workers of which one has to do a job; empty where any may."""
        if task.failed_on:
            return frozenset(able - task.failed_on)
        if (keeper := self._pool.keeper(task.job.name)) in able:
            return frozenset({keeper})
        return frozenset(name for name in able if task.at_home in offered[name])

    def _submit(self, task: Task, needs: Needs, on: frozenset[str]) -> None:
        handle = self._pool.submit(task.job, dict(needs), after=task.after, on=on, rank=task.rank)
        self._running[handle] = (task, on)
        self._out[needs] += 1

    def _helpless_with(
        self, needs: Needs, ready: list[tuple[float, int, Task]], offered: Mapping[str, Offers]
    ) -> list[Done]:
        since = self._helpless.setdefault(needs, self._clock())
        if self._clock() - since < self._patience:
            return []
        why = _why_none(needs, offered)
        given_up = [
            Done(task, Ended(_lost(task.job, why), task.attempts + 1), None) for *_, task in ready
        ]
        self._waiting.subtract(task.job.kind for *_, task in ready)
        ready.clear()
        return given_up

    def _bring_back(self, offered: Mapping[str, Offers]) -> None:
        """Give jobs to any worker that were for workers which have all gone since."""
        for handle, (task, on) in list(self._running.items()):
            if on and not on & offered.keys():
                self._forget(handle)
                self._pool.release(handle)
                self.add(replace(task, at_home="", failed_on=frozenset()))

    # --- taking back ---------------------------------------------------------------------

    def _forget(self, handle: Handle) -> Task | None:
        task, _ = self._running.pop(handle, (None, None))
        if task:
            self._out[self._needs(task.job)] -= 1
        return task

    def _taken_back(self, finished: Finished) -> Done | None:
        """Return a job that has ended for good; None where it is tried again."""
        task = self._forget(finished.handle)
        if task is None:  # it was given to another worker meanwhile
            return None
        outcome = finished.outcome or _lost(task.job, finished.why)
        ended = Ended(outcome, task.attempts + 1)
        if outcome.exit_code != EXIT_INFRASTRUCTURE or ended.attempts >= ATTEMPTS:
            return Done(task, ended, finished.handle)
        self._pool.release(finished.handle)
        self._on_retry(task.job, ended)
        failed_on = task.failed_on | ({outcome.worker} if outcome.worker else set())
        self.add(replace(task, attempts=ended.attempts, failed_on=failed_on, at_home=""))
        return None


def _lost(job: Job, why: str) -> Outcome:
    return Outcome(job.name, EXIT_INFRASTRUCTURE, 0.0, "", why)


def _why_none(needs: Needs, offered: Mapping[str, Offers]) -> str:
    """Return why no worker can do a job, each reason with the workers that it is true of."""
    if not offered:
        return "there is no worker"
    reasons: dict[str, list[str]] = {}
    for name, its in sorted(offered.items()):
        reasons.setdefault(", ".join(offers.lacks(its, needs)), []).append(name)
    return "; ".join(f"{_named(workers)} lacks {what}" for what, workers in reasons.items())


def _named(workers: Sequence[str]) -> str:
    more = f" and {len(workers) - _SHOWN} more" if len(workers) > _SHOWN else ""
    return f"worker {', '.join(workers[:_SHOWN])}{more}"
