"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from toolkit.core.model.result import StageRecord
from toolkit.core.model.testing import Leaf


class Observer(Protocol):
    """Hears what a run does while it does it; the terminal display is one."""

    def notice(self, text: str) -> None:
        """Say one line that matters to the reader, such as the accelerator and its reason."""

    def stage_started(self, name: str) -> None:
        """Say that a stage begins."""

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Say how far a stage is; ``total`` None when it cannot be told."""

    def stage_finished(self, record: StageRecord) -> None:
        """Say that a stage ended well."""

    def stage_failed(self, name: str) -> None:
        """Say that a stage that began did not end well."""

    def test_finished(self, leaf: Leaf) -> None:
        """Say that one test case has its result."""


class Silent:
    """An :class:`Observer` that keeps quiet."""

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

    def test_finished(self, leaf: Leaf) -> None:
        """Ignore it."""


class PrefixedObserver:
    """Passes on what another kernel's run does, under that kernel's name.

    A case that fails on the base or after half of the series is no failure of the run that is
    watched, and would look like one.
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

    def test_finished(self, leaf: Leaf) -> None:
        """Keep it to oneself."""
