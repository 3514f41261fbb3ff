"""Several workers at a mutant each: they build a few, try them, and build the next few.

Mutants are compiled in the build folder of the series, which is locked meanwhile. So a batch of
them is compiled in one go, by all workers that are free, and the folder given back before they are
tried; when a worker finds nothing to try, the next batch begins. The caller's own thread opens and
closes that folder, and workers end before :meth:`Shift.run` does. What takes a build of its own
comes after all others, when nothing is made in that folder any more.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from toolkit.core.deadline import Deadline

T = TypeVar("T")  # an item
T_contra = TypeVar("T_contra", contravariant=True)  # the same
M = TypeVar("M")  # what is made of it
B = TypeVar("B")  # the bench that a batch is made on
_POLL = 0.2


class Work(Protocol[T_contra, M, B]):
    """What is done with the items; workers call :meth:`make` and :meth:`attempt` at once."""

    def bench(self, batch: Sequence[T_contra]) -> AbstractContextManager[B]:
        """Lend what a batch is made on."""

    def make(self, bench: B, item: T_contra) -> M | None:
        """Make one; None: there is nothing to try of it."""

    def comes_last(self, made: M) -> bool:
        """Return whether something is tried only when everything else has been."""

    def attempt(self, made: M) -> None:
        """Try what was made."""


@dataclass(slots=True)
class Shift(Generic[T, M, B]):
    """Does the work with a number of threads, ``batch`` items at a time.

    ``deadline`` is cancelled where the work ends early, by an error or ^C.
    """

    work: Work[T, M, B]
    batch: int
    deadline: Deadline
    _making: deque[Callable[[], None]] = field(default_factory=deque)
    _made: deque[M] = field(default_factory=deque)
    _last: list[M] = field(default_factory=list)  # what comes after all others
    _at_bench: int = 0  # workers that make an item of the batch
    _busy: int = 0  # workers that do something
    _ending: bool = False
    _errors: list[BaseException] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, items: Iterable[T], workers: int) -> None:
        """Work on all items; raises what a worker raised first, once all of them have stopped."""
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            self._give_out(deque(items))
        except BaseException:
            self.deadline.cancel()
            raise
        finally:
            with self._changed:
                self._ending = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _give_out(self, items: deque[T]) -> None:
        while items and not self._errors:
            batch = [items.popleft() for _ in range(min(self.batch, len(items)))]
            with self.work.bench(batch) as bench:
                self._on_bench(bench, batch)
            self._wait(lambda: not self._made)
        with self._changed:
            self._made.extend(self._last)
            self._changed.notify_all()
        self._wait(lambda: not self._made and not self._busy)

    def _on_bench(self, bench: B, batch: Sequence[T]) -> None:
        """Have a batch made; whatever happens, nobody is at the bench any more in the end."""
        with self._changed:
            self._making.extend(functools.partial(self._make, bench, each) for each in batch)
            self._changed.notify_all()
        try:
            self._wait(lambda: not self._making and not self._at_bench)
        except BaseException:
            self.deadline.cancel()
            raise
        finally:
            with self._changed:
                self._making.clear()
                while self._at_bench:
                    self._changed.wait(_POLL)

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            while not done() and not self._errors:
                self._changed.wait(_POLL)

    # --- workers -------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while (job := self._next()) is not None:
                try:
                    job()
                finally:
                    with self._changed:
                        self._busy -= 1
                        self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            with self._changed:
                self._errors.append(error)
                self._changed.notify_all()
            self.deadline.cancel()

    def _next(self) -> Callable[[], None] | None:
        """Return what to do next: first make what is left of the batch, then try."""
        with self._changed:
            while not self._ending and not self._errors:
                if self._making:
                    self._busy += 1
                    self._at_bench += 1
                    return self._making.popleft()
                if self._made:
                    self._busy += 1
                    made = self._made.popleft()
                    self._changed.notify_all()
                    return functools.partial(self.work.attempt, made)
                self._changed.wait(_POLL)
        return None

    def _make(self, bench: B, item: T) -> None:
        try:
            made = self.work.make(bench, item)
            if made is not None:
                with self._changed:
                    (self._last if self.work.comes_last(made) else self._made).append(made)
        finally:
            with self._changed:
                self._at_bench -= 1
                self._changed.notify_all()
