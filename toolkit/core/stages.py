"""The stages of a run: announce, time and record each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from toolkit.core.model.result import StageRecord
from toolkit.core.observer import Observer

T = TypeVar("T")

Work = Callable[[], tuple[T, bool, str]]  # a stage's result, whether it was cached, and a detail


class StageLog:
    """Runs the stages of one run, and keeps a record of each that ended well, in order."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._records: tuple[StageRecord, ...] = ()

    @property
    def records(self) -> tuple[StageRecord, ...]:
        """The stages so far."""
        return self._records

    def run(self, name: str, work: Work[T]) -> T:
        """Do the work of a stage and return its result; raises what ``work`` raises."""
        self._observer.stage_started(name)
        began = time.monotonic()
        try:
            value, cached, detail = work()
        except BaseException:
            self._observer.stage_failed(name)
            raise
        record = StageRecord(name, round(time.monotonic() - began, 3), cached, detail)
        self._records = (*self._records, record)
        self._observer.stage_finished(record)
        return value

    def include(self, label: str, records: Sequence[StageRecord]) -> None:
        """Add the stages of another kernel's run, which has announced them itself."""
        added = (replace(each, name=f"{label}: {each.name}") for each in records)
        self._records = (*self._records, *added)
