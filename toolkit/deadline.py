"""Absolute points in time that a caller hands down, so that nested waits share one budget."""

from __future__ import annotations

import time
from dataclasses import dataclass

from toolkit.errors import DeadlineError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock. ``budget`` is what it was given, in seconds."""

    at: float
    budget: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that lies ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def expired(self) -> bool:
        """Return whether the time has run out."""
        return time.monotonic() >= self.at

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one ``seconds`` from now."""
        other = Deadline.after(seconds)
        return other if other.at < self.at else self

    def check(self, what: str) -> None:
        """Raise :class:`DeadlineError`, naming ``what``, if the time has run out."""
        if self.expired():
            raise DeadlineError(what, self.budget)
