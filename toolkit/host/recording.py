"""Recorders of the commands that :mod:`.process` starts and that guests run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command as it was started, for a :class:`Recorder`.

    ``settings`` are the variables that the toolkit sets for it, and with ``only_settings`` all that
    it has; ``removed`` are variables of the caller that it does not get. ``within`` are the words
    of a sandbox around it, ``input`` is the number of bytes on its standard input, and ``began`` a
    time of :func:`time.monotonic`.
    """

    argv: tuple[str, ...]
    cwd: Path | None
    settings: Mapping[str, str]
    only_settings: bool
    removed: tuple[str, ...]
    within: tuple[str, ...]
    input: int
    began: float


class Recorder(Protocol):
    """Gets every command; called by any thread."""

    def started(self, command: Command) -> None:
        """Keep a command that is about to start."""

    def ended(self, command: Command, status: int | None) -> None:
        """Keep its exit status (negative: the signal); None if it could not be started."""

    def noted(self, text: str) -> None:
        """Keep a remark on what is no command of this host."""


# One list for all threads: those of a pool outlive the call that made them.
_recorders: list[Recorder] = []


@contextlib.contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Give every command that starts meanwhile to ``recorder``, whichever thread starts it."""
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.remove(recorder)


def started(command: Command) -> None:
    """Tell the recorders of a command that is about to start."""
    for recorder in _recorders.copy():
        recorder.started(command)


def ended(command: Command, status: int | None) -> None:
    """Tell them how it ended."""
    for recorder in _recorders.copy():
        recorder.ended(command, status)


def note(text: str) -> None:
    """Tell them of something else, such as a command that a guest runs."""
    for recorder in _recorders.copy():
        recorder.noted(text)
