"""An observer for a run inside another one: its stages are told, its cases only counted."""

from __future__ import annotations

from dataclasses import replace

from toolkit.model import Leaf, Observer, StageRecord


class Labelled:
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
