from __future__ import annotations

import pytest

from toolkit.core.model.result import StageRecord
from toolkit.core.observer import Silent
from toolkit.core.stages import StageLog


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def stage_started(self, name: str) -> None:
        self.heard.append(f"{name} began")

    def stage_finished(self, record: StageRecord) -> None:
        self.heard.append(f"{record.name} ended")

    def stage_failed(self, name: str) -> None:
        self.heard.append(f"{name} failed")


def test_a_stage_is_announced_and_recorded() -> None:
    listener = Listener()
    log = StageLog(listener)
    assert log.run("build", lambda: (5, True, "a kernel")) == 5
    (record,) = log.records
    assert (record.name, record.cached, record.detail) == ("build", True, "a kernel")
    assert record.seconds >= 0
    assert listener.heard == ["build began", "build ended"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_a_stage_that_fails_leaves_no_record(error: BaseException) -> None:
    listener = Listener()
    log = StageLog(listener)

    def work() -> tuple[None, bool, str]:
        raise error

    with pytest.raises(type(error)):
        log.run("boot", work)
    assert log.records == ()
    assert listener.heard == ["boot began", "boot failed"]


def test_a_stage_within_another_comes_before_it() -> None:
    log = StageLog(Silent())
    log.run("test", lambda: (log.run("boot", lambda: (1, False, "")), False, ""))
    assert [record.name for record in log.records] == ["boot", "test"]


def test_records_that_were_read_do_not_change() -> None:
    log = StageLog(Silent())
    before = log.records
    log.run("build", lambda: (None, False, ""))
    assert before == ()


def test_another_kernel_s_stages_have_its_name_and_are_not_announced_again() -> None:
    listener = Listener()
    log = StageLog(listener)
    log.include("base", (StageRecord("boot", 1.0), StageRecord("test", 2.0, cached=True)))
    assert [(record.name, record.cached) for record in log.records] == [
        ("base: boot", False),
        ("base: test", True),
    ]
    assert listener.heard == []
