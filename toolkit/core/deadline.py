"""Absolute points in time that a caller hands down, so that nested waits share one budget."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

from toolkit.core.errors import DeadlineError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock. ``budget`` is what it was given, in seconds.

    It may come early: who holds one made by :meth:`cancellable` can :meth:`cancel` it, and with
    it every deadline that was made from it.
    """

    at: float
    budget: float
    cancels: tuple[threading.Event, ...] = field(default=(), compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that lies ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return 0.0 if self.cancelled() else max(0.0, self.at - time.monotonic())

    def expired(self) -> bool:
        """Return whether the time has run out."""
        return self.cancelled() or time.monotonic() >= self.at

    def cancelled(self) -> bool:
        """Return whether somebody has ended the wait before its time."""
        return any(event.is_set() for event in self.cancels)

    def cancellable(self) -> Deadline:
        """Return the same deadline with a switch of its own."""
        return replace(self, cancels=(*self.cancels, threading.Event()))

    def cancel(self) -> None:
        """Let the time of a :meth:`cancellable` deadline run out now."""
        self.cancels[-1].set()

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one ``seconds`` from now."""
        at = time.monotonic() + seconds
        return replace(self, at=at, budget=seconds) if at < self.at else self

    def check(self, what: str) -> None:
        """Raise :class:`DeadlineError`, naming ``what``, if the time has run out."""
        if self.expired():
            raise DeadlineError(what, self.budget)
