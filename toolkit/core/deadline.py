"""Absolute points in time that a caller hands down, so that nested waits share one budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from toolkit.core.clock import clock
from toolkit.core.errors import DeadlineError

_STOPPED = 1.0  # seconds in which no loop of the toolkit lets a wait alone
LONGEST = 1e6  # seconds of one wait: poll(2) takes its milliseconds as an int
_LAST_LOOK = 1.0  # seconds: what came while the toolkit was stopped is read within them


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the toolkit's clock. ``budget`` is how far away it was at first, in seconds.

    One made by :meth:`cancellable` can be brought forward with :meth:`cancel`, and with it every
    deadline derived from it.
    """

    at: float
    budget: float
    cancels: tuple[threading.Event, ...] = field(default=(), compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` from now."""
        return cls(clock.now() + seconds, seconds)

    def remaining(self) -> float:
        """Return the seconds left, never below zero, and of very many :data:`LONGEST`."""
        return 0.0 if self.cancelled() else min(max(0.0, self.at - clock.now()), LONGEST)

    def expired(self) -> bool:
        """Return whether the time has run out."""
        return self.cancelled() or clock.now() >= self.at

    def cancelled(self) -> bool:
        """Return whether the deadline was cancelled."""
        return any(event.is_set() for event in self.cancels)

    def cancellable(self) -> Deadline:
        """Return the same deadline with a switch of its own."""
        return replace(self, cancels=(*self.cancels, threading.Event()))

    def cancel(self) -> None:
        """Let the time of a :meth:`cancellable` deadline run out now."""
        self.cancels[-1].set()

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one ``seconds`` from now."""
        at = clock.now() + seconds
        return replace(self, at=at, budget=seconds) if at < self.at else self

    def wait(self, lost: Callable[[], float] | None = None) -> Wait:
        """Return what a loop asks whether to go on; see :class:`Wait`.

        ``lost`` returns the seconds in which what is waited for could do nothing. They do not
        count, up to the deadline's own budget.
        """
        return Wait(self, lost)

    def check(self, what: str) -> None:
        """Raise :class:`DeadlineError`, naming ``what``, if the time has run out."""
        if self.expired():
            raise DeadlineError(what, self.budget)


class Wait:
    """One loop that waits against a :class:`Deadline`, and asks :meth:`expired` again and again.

    While the toolkit is stopped (^Z), or the host too busy to run it, what it waits for may come
    and the time run out. So where nobody asked for a second, the loop gets another one to find it;
    and where nobody did for long, that time does not count: see :mod:`toolkit.core.clock`.
    """

    def __init__(self, deadline: Deadline, lost: Callable[[], float] | None = None) -> None:
        self._deadline = deadline
        self._lost = lost
        self._asked = time.monotonic()
        self._until = 0.0

    def expired(self) -> bool:
        """Return whether the time has run out; a cancelled deadline's always has."""
        before, self._asked = self._asked, clock.tick(self._asked)
        now = clock.now()
        if self._asked - before > _STOPPED:
            self._until = now + _LAST_LOOK
        if self._deadline.cancelled() or not self._deadline.expired():
            return self._deadline.cancelled()
        lost = min(self._lost(), self._deadline.budget) if self._lost else 0.0
        return now >= max(self._until, self._deadline.at + lost)

    def check(self, what: str) -> None:
        """Raise :class:`DeadlineError`, naming ``what``, if the time has run out."""
        if self.expired():
            raise DeadlineError(what, self._deadline.budget)
