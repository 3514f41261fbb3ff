"""From the cells to their ends: which jobs there are, what becomes of each, what follows.

A kernel is fetched once, what several cells are tested with is built once, and the programs of a
cell are cut into shards when its build has shown which there are. A cell ends with the last of its
shards, or with the first job that keeps it from being tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from toolkit.core.errors import EXIT_INFRASTRUCTURE, EXIT_OK
from toolkit.core.model.testing import BuiltSuite
from toolkit.matrix import jobs, offers, shards
from toolkit.matrix.dispatch import Dispatcher, Done, Task
from toolkit.matrix.jobs import Group, Job, Kind, Planned, Subject
from toolkit.matrix.outcome import Ended, Outcome
from toolkit.matrix.pool import Handle, Pool
from toolkit.report.matrix.display import Progress
from toolkit.report.matrix.view import full_label
from toolkit.testing import in_tree_suites

_TICK = 0.25  # seconds between two looks


class Watcher(Protocol):
    """Hears what becomes of a matrix; the terminal's display is one."""

    def job_ended(self, title: str, worker: str, seconds: float, fate: str) -> None:
        """Hear that a job ended: where, after how long, and how if not well."""

    def cell_ended(self, label: str, exit_code: int, text: str) -> None:
        """Hear that a cell ended: its exit code, and how, in words."""

    def look(self, progress: Progress) -> None:
        """Hear how far it is; called a few times a second."""


class Book(Protocol):
    """Where is written down what has ended, so that nothing is done twice."""

    def ended(self, name: str) -> Ended | None:
        """Return how a job ended; None for one that has to be done."""

    def shards(self, cell: str) -> tuple[tuple[str, ...], ...] | None:
        """Return the programs of each shard of a cell; None where it was not cut yet."""

    def store_shards(self, cell: str, shards: Sequence[Sequence[str]]) -> None:
        """Store how the programs of a cell are cut."""

    def store_job(self, job: Job, ended: Ended) -> None:
        """Store how a job ended, with what it left."""

    def store_cell(self, cell: Planned, parts: Sequence[tuple[Job, Ended]]) -> tuple[int, str]:
        """Store how a cell ended; return its exit code and its result in words."""


@dataclass(slots=True)
class _Open:
    """A cell that is being tested: its shards, and how those ended that have."""

    shards: tuple[tuple[str, ...], ...]
    parts: dict[int, tuple[Job, Ended]] = field(default_factory=dict)


class Engine:
    """Does the jobs of one run of a matrix.

    ``took`` returns the seconds of test programs (suite/program) that have run before, and a shard
    should take ``shard_seconds``.
    """

    def __init__(
        self,
        run: str,
        cells: Sequence[Planned],
        pool: Pool,
        book: Book,
        watcher: Watcher,
        *,
        version: str,
        took: Callable[[Iterable[str]], Mapping[str, float]],
        shard_seconds: float,
        patience: float = 0.0,
    ) -> None:
        self._run, self._cells, self._pool, self._book = run, cells, pool, book
        self._watcher, self._took, self._shard_seconds = watcher, took, shard_seconds
        self._dispatcher = Dispatcher(
            pool, version, patience, lambda job, ended: self._tell(job, ended, again=True)
        )
        self._ended: Counter[int] = Counter()
        self._open: dict[str, _Open] = {}
        self._after_fetch: dict[str, list[Group]] = {}  # by kernel
        self._users: Counter[Handle] = Counter()  # jobs that wait for what another one gave

    def go(self) -> None:
        """Do all that is left to do; returns when each cell has ended."""
        try:
            for group in jobs.groups(self._cells):
                self._begin(group)
            while self._dispatcher.busy:
                for done in self._dispatcher.step(_TICK):
                    self._react(done)
                self._watcher.look(self._progress())
        except BaseException:
            self._pool.stop()
            raise

    def _progress(self) -> Progress:
        return Progress(
            len(self._cells),
            dict(self._ended),
            {kind.value: number for kind, number in self._dispatcher.waiting.items() if number},
            len(self._cells) - len(self._open) - self._ended.total(),
            self._pool.running(),
            len(self._pool.offers()),
        )

    # --- what there is to do -------------------------------------------------------------

    def _begin(self, group: Group) -> None:
        """Have what a group needs done, less what was done before; with its fetch first."""
        left = tuple(cell for cell in group.cells if not self._recalled(cell))
        if not left:
            return
        former = self._final(jobs.build(self._run, group))
        if former:
            self._build_failed(group, left, former)
            return
        group = Group(group.name, left)
        kernel = left[0].inner.kernel
        waiting = self._after_fetch.setdefault(kernel, [])
        if not waiting:
            self._add(jobs.fetch(self._run, kernel), kernel)
        waiting.append(group)

    def _recalled(self, cell: Planned) -> bool:
        """Return whether a cell has ended before, and if so let it end again."""
        if cell.cell.baseline:
            job = jobs.whole(self._run, cell)
            former = self._final(job)
            if former:
                self._end(cell, [(job, former)])
            return former is not None
        cut = self._book.shards(cell.name)
        if cut is None:
            return False
        opened = self._open[cell.name] = _Open(cut)
        for number, programs in enumerate(cut, 1):
            job = jobs.test(self._run, cell, (number, len(cut)), programs, 0)
            if former := self._final(job):
                opened.parts[number] = (job, former)
        return self._ends(cell)

    def _final(self, job: Job) -> Ended | None:
        """Return how a job ended before this client began, where that is no reason to try again."""
        former = self._book.ended(job.name)
        if former is None or former.outcome.exit_code == EXIT_INFRASTRUCTURE:
            return None
        built = job.kind is Kind.BUILD and former.outcome.exit_code == EXIT_OK
        return None if built else former  # what it built went with that client

    def _add(
        self,
        job: Job,
        subject: Subject,
        after: Handle | None = None,
        seconds: float = 0.0,
    ) -> None:
        at_home = offers.at_home(subject) if isinstance(subject, str) else ""
        if after is not None:
            self._users[after] += 1
        self._dispatcher.add(Task(job, subject, after, seconds, at_home))

    # --- what follows --------------------------------------------------------------------

    def _react(self, done: Done) -> None:
        job, ended = done.task.job, done.ended
        self._book.store_job(job, ended)
        self._tell(job, ended, again=False)
        match job.kind, done.task.subject:
            case Kind.FETCH, str(kernel):
                self._fetched(kernel, job, ended, done.handle)
            case Kind.BUILD, Group() as group:
                self._built(group, ended, done.handle)
            case Kind.WHOLE, Planned() as cell:
                self._end(cell, [(job, ended)])
            case Kind.TEST, Planned() as cell:
                self._open[cell.name].parts[job.number] = (job, ended)
                self._ends(cell)
        if done.handle is not None and not self._users[done.handle]:
            self._pool.release(done.handle)
        self._let_go(done.task.after)

    def _let_go(self, handle: Handle | None) -> None:
        if handle is None:
            return
        self._users[handle] -= 1
        if not self._users[handle]:
            del self._users[handle]
            self._pool.release(handle)

    def _fetched(self, kernel: str, job: Job, ended: Ended, handle: Handle | None) -> None:
        for group in self._after_fetch.pop(kernel):
            if ended.outcome.exit_code != EXIT_OK:
                for cell in group.cells:
                    self._end(cell, [(job, ended)])
            elif group.cells[0].cell.baseline:
                for cell in group.cells:
                    self._add(jobs.whole(self._run, cell), cell, handle)
            else:
                self._add(jobs.build(self._run, group), group, handle)

    def _built(self, group: Group, ended: Ended, handle: Handle | None) -> None:
        if ended.outcome.exit_code != EXIT_OK:
            self._build_failed(group, group.cells, ended)
            return
        for cell in group.cells:
            self._test(cell, ended.outcome, handle)

    def _build_failed(self, group: Group, cells: Sequence[Planned], ended: Ended) -> None:
        """Build for each suite alone what failed for all: one may keep the others from it."""
        apart = group.apart() if ended.outcome.exit_code != EXIT_INFRASTRUCTURE else []
        if len(apart) < 2:
            for cell in cells:
                self._end(cell, [(jobs.build(self._run, group), ended)])
            return
        for each in apart:
            left = tuple(cell for cell in each.cells if cell in cells)
            job = jobs.build(self._run, each)
            if former := self._final(job):
                self._build_failed(each, left, former)
            elif left:
                self._add(job, Group(each.name, left))

    def _test(self, cell: Planned, built: Outcome, handle: Handle | None) -> None:
        opened = self._open.get(cell.name)
        if opened:
            loads: Sequence[float] = (0.0,) * len(opened.shards)
        else:
            cut, loads = self._cut(cell, built)
            opened = self._open[cell.name] = _Open(cut)
            self._book.store_shards(cell.name, cut)
        for number, its in enumerate(opened.shards, 1):
            if number not in opened.parts:
                shard = (number, len(opened.shards))
                job = jobs.test(self._run, cell, shard, its, built.memory_mib)
                self._add(job, cell, handle, loads[number - 1])

    def _cut(
        self, cell: Planned, built: Outcome
    ) -> tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]:
        """Return the shards of a cell, and the seconds that each may take; see :mod:`shards`."""
        names = [BuiltSuite(name, Path(), ()) for name, _ in built.suites]
        wanted = (cell.inner.suite,) if cell.inner.suite else ()
        chosen = {suite.name for suite in in_tree_suites.chosen(names, wanted)}
        programs = [
            (f"{suite}/{name}", name)
            for suite, its in built.suites
            if suite in chosen
            for name in its
        ]
        seconds: dict[str, float] = {}
        for full, took in self._took(full for full, _ in programs).items():
            name = full.partition("/")[2]
            seconds[name] = seconds.get(name, 0.0) + took * cell.cell.repeat
        return shards.cut([name for _, name in programs], seconds, self._shard_seconds)

    def _ends(self, cell: Planned) -> bool:
        """Let a cell end if all of its shards have; return whether."""
        opened = self._open[cell.name]
        if len(opened.parts) < len(opened.shards):
            return False
        self._end(cell, [opened.parts[number] for number in sorted(opened.parts)])
        return True

    def _end(self, cell: Planned, parts: Sequence[tuple[Job, Ended]]) -> None:
        self._open.pop(cell.name, None)
        exit_code, text = self._book.store_cell(cell, parts)
        self._ended[exit_code] += 1
        self._watcher.cell_ended(full_label(cell.cell), exit_code, text)

    def _tell(self, job: Job, ended: Ended, *, again: bool) -> None:
        outcome = ended.outcome
        fate = ""
        if outcome.exit_code == EXIT_INFRASTRUCTURE:
            why = outcome.message.partition("\n")[0]
            fate = f"the host failed ({why})" + ", tried again" * again
        elif outcome.exit_code != EXIT_OK and job.kind in (Kind.FETCH, Kind.BUILD):
            fate = "failed"
        self._watcher.job_ended(job.title, outcome.worker, outcome.seconds, fate)
