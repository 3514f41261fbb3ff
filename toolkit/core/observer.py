"""What a run announces while it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from toolkit.core.model.result import StageRecord
from toolkit.core.model.testing import Leaf


class Observer(Protocol):
    """Hears what a run does; the terminal's display is one."""

    def notice(self, text: str) -> None:
        """Show a line that matters to the reader, such as the accelerator and its reason."""

    def stage_started(self, name: str) -> None:
        """Hear that a stage begins."""

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Hear how far a stage is; ``total`` None where that is not known."""

    def stage_finished(self, record: StageRecord) -> None:
        """Hear that a stage ended well."""

    def stage_failed(self, name: str) -> None:
        """Hear that a stage that began did not end well."""

    def waiting(self, what: str, whom: str) -> None:
        """Hear that ``what`` is held by another run, which ``whom`` describes, and is waited for.

        An empty ``whom`` ends that wait.
        """

    def test_finished(self, leaf: Leaf) -> None:
        """Hear the result of one test case."""


class Silent:
    """An :class:`Observer` that shows nothing."""

    def notice(self, text: str) -> None:
        """Ignore it."""

    def stage_started(self, name: str) -> None:
        """Ignore it."""

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Ignore it."""

    def stage_finished(self, record: StageRecord) -> None:
        """Ignore it."""

    def stage_failed(self, name: str) -> None:
        """Ignore it."""

    def waiting(self, what: str, whom: str) -> None:
        """Ignore it."""

    def test_finished(self, leaf: Leaf) -> None:
        """Ignore it."""


class WithinStage(Silent):
    """Passes on what is built on the way of another stage, as that stage's progress."""

    def __init__(self, observer: Observer, stage: str) -> None:
        self._observer = observer
        self._stage = stage

    def notice(self, text: str) -> None:
        """Pass it on."""
        self._observer.notice(text)

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Say what is built; how much of the stage itself is done is not known from that."""
        count = f"{done}/{total}" if total else ""
        words = " ".join(filter(None, (name, count, text)))
        self._observer.stage_progress(self._stage, 0, None, words)

    def waiting(self, what: str, whom: str) -> None:
        """Pass it on."""
        self._observer.waiting(what, whom)


class PrefixedObserver:
    """Passes on what another kernel's run does, with that kernel's name before it.

    Its cases are left out: one that fails on the base, or after half of the series, would look like
    a failure of the run itself.
    """

    def __init__(self, observer: Observer, label: str) -> None:
        self._observer = observer
        self._label = label

    def notice(self, text: str) -> None:
        """Pass it on."""
        self._observer.notice(f"{self._label}: {text}")

    def stage_started(self, name: str) -> None:
        """Pass it on."""
        self._observer.stage_started(f"{self._label}: {name}")

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Pass it on."""
        self._observer.stage_progress(f"{self._label}: {name}", done, total, text)

    def stage_finished(self, record: StageRecord) -> None:
        """Pass it on."""
        self._observer.stage_finished(replace(record, name=f"{self._label}: {record.name}"))

    def stage_failed(self, name: str) -> None:
        """Pass it on."""
        self._observer.stage_failed(f"{self._label}: {name}")

    def waiting(self, what: str, whom: str) -> None:
        """Pass it on."""
        self._observer.waiting(f"{self._label}: {what}", whom)

    def test_finished(self, leaf: Leaf) -> None:
        """Ignore it."""
