"""Spread test programs over machines: several at a time, each machine ready before it is needed.

A *batch* runs on one machine: one program, or those of a whole suite. While the programs of a batch
run, the machine for the next batch is made. A machine that a program broke is replaced for the rest
of its batch, so that a panic, a hang or a splat costs exactly that program.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Generic, TypeVar

from toolkit.core.deadline import Deadline
from toolkit.core.model.testing import Outcome, RawRun, TestProgram

M = TypeVar("M")
_POLL = 0.2  # seconds: how late ^C may be noticed while nothing happens

OnLine = Callable[[TestProgram, str], None]
Boot = Callable[[], AbstractContextManager[M]]
RunOne = Callable[[M, TestProgram, OnLine], RawRun]


class UnusableMachineError(Exception):
    """A machine on which a program cannot be started; its cause says why."""


class Isolation(StrEnum):
    """What gets a machine of its own."""

    CASE = "case"
    PROGRAM = "program"
    SUITE = "suite"


def batches(programs: Sequence[TestProgram], isolation: Isolation) -> list[tuple[TestProgram, ...]]:
    """Return the programs that share a machine, in order; a case counts as a program here."""
    if isolation is not Isolation.SUITE:
        return [(program,) for program in programs]
    return [tuple(group) for _, group in groupby(programs, key=lambda program: program.suite)]


def run(
    work: Sequence[Sequence[TestProgram]],
    boot: Boot[M],
    run_one: RunOne[M],
    *,
    machines: int,
    deadline: Deadline,
    on_line: OnLine,
) -> Iterator[RawRun]:
    """Run every batch and yield what each program gave, as it ends.

    ``boot`` makes a machine and is entered by several threads at once; ``machines`` of them work
    at a time. ``on_line`` is called in the caller's thread. What ``boot`` or ``run_one`` raises
    stops everything and is raised here; ``deadline`` is cancelled then, and when the caller closes
    this generator, so that no thread outlives it. :class:`UnusableMachineError` of a machine that
    an earlier program had is that program's doing: the next one gets another machine.
    """
    workers = _Workers(boot, run_one, deadline, deque(work))
    workers.start(min(machines, len(work)))
    try:
        while True:
            try:
                event = workers.events.get(timeout=_POLL)
            except queue.Empty:
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, RawRun):
                yield event
            else:
                on_line(*event)
    finally:
        workers.stop()


@dataclass(slots=True)
class _Held(Generic[M]):
    """A machine in use; :meth:`drop` stops it."""

    stack: contextlib.ExitStack
    machine: M

    def drop(self) -> None:
        self.stack.close()


@dataclass(slots=True)
class _Workers(Generic[M]):
    """The threads that run batches, and the one that makes spare machines for them."""

    boot: Boot[M]
    run_one: RunOne[M]
    deadline: Deadline
    pending: deque[Sequence[TestProgram]]
    events: queue.SimpleQueue[RawRun | tuple[TestProgram, str] | BaseException | None] = field(
        default_factory=queue.SimpleQueue
    )
    wanted: int = 0  # machines that no thread has begun to make
    spare: _Held[M] | None = None
    threads: list[threading.Thread] = field(default_factory=list)
    busy: int = 0
    waiting: int = 0  # workers that have had no machine yet
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self, machines: int) -> None:
        self.wanted = len(self.pending)
        self.busy = self.waiting = machines
        for work in [self._serve] * machines + [self._prepare_spares]:
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self.threads.append(thread)
            thread.start()
        if not machines:
            self.events.put(None)

    def stop(self) -> None:
        self.deadline.cancel()
        with self.changed:
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()
        if self.spare:
            self.spare.drop()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.events.put(error)

    # --- workers -----------------------------------------------------------------------

    def _serve(self) -> None:
        first = True
        while (batch := self._next()) is not None:
            self._run_batch(batch, first=first)
            first = False
        with self.changed:
            self.busy -= 1
            if not self.busy:
                self.events.put(None)
                self.changed.notify_all()

    def _next(self) -> Sequence[TestProgram] | None:
        with self.changed:
            if self.deadline.cancelled() or not self.pending:
                return None
            return self.pending.popleft()

    def _run_batch(self, batch: Sequence[TestProgram], *, first: bool) -> None:
        held: _Held[M] | None = None
        try:
            for at, program in enumerate(batch):
                used, held = held is not None, held or self._machine(counted=at == 0)
                if first and not at:
                    with self.changed:
                        self.waiting -= 1
                        self.changed.notify_all()
                raw = self._try(held, program, fresh=not used)
                if raw is None:
                    held.drop()
                    held = None
                    held = self._machine(counted=False)
                    raw = self._try(held, program, fresh=True)
                assert raw
                self.events.put(raw)
                if raw.outcome is not Outcome.COMPLETED or raw.splats or raw.note:
                    held.drop()
                    held = None
        finally:
            if held:
                held.drop()

    def _try(self, held: _Held[M], program: TestProgram, *, fresh: bool) -> RawRun | None:
        """Run a program; return None where what ran on the machine before has spoilt it."""
        try:
            return self.run_one(held.machine, program, self._line)
        except UnusableMachineError as error:
            if fresh:
                raise (error.__cause__ or error) from None
            return None

    def _line(self, program: TestProgram, line: str) -> None:
        self.events.put((program, line))

    # --- machines ----------------------------------------------------------------------

    def _make(self) -> _Held[M]:
        with contextlib.ExitStack() as stack:
            machine = stack.enter_context(self.boot())
            return _Held(stack.pop_all(), machine)

    def _machine(self, *, counted: bool) -> _Held[M]:
        """Return the spare machine, or make one; ``counted``: it was planned for."""
        with self.changed:
            self.wanted += not counted
            while self.spare is None and not self.wanted and not self.deadline.cancelled():
                self.changed.wait(_POLL)  # the spare machine that is being made is for us
            if self.spare:
                held, self.spare = self.spare, None
                self.changed.notify_all()
                return held
            self.wanted -= 1
        return self._make()

    def _prepare_spares(self) -> None:
        while True:
            with self.changed:
                while self.busy and not self.deadline.cancelled() and not self._one_ahead():
                    self.changed.wait(_POLL)
                if not self.busy or self.deadline.cancelled():
                    return
                self.wanted -= 1
            held = self._make()
            with self.changed:
                self.spare = held
                self.changed.notify_all()

    def _one_ahead(self) -> bool:
        """Return whether a spare machine is wanted: not before every worker has its first.

        Otherwise the workers would get theirs later, and the first verdict with them.
        """
        return self.spare is None and not self.waiting and 0 < self.wanted <= len(self.pending)
