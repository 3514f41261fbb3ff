from __future__ import annotations

import pytest

from toolkit.core import deadline
from toolkit.core.clock import Clock
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(deadline, "clock", Clock())
    return now


def test_counts_down_and_stops_at_zero(clock: list[float]) -> None:
    limit = Deadline.after(10)
    clock[0] += 4
    assert limit.remaining() == 6
    assert not limit.expired()
    clock[0] += 7
    assert limit.remaining() == 0
    assert limit.expired()


@pytest.mark.parametrize("seconds", [3e6, 1e300, float("inf")])
def test_no_wait_is_longer_than_poll_takes(clock: list[float], seconds: float) -> None:
    limit = Deadline.after(seconds)
    assert limit.remaining() == deadline.LONGEST
    clock[0] += 2 * deadline.LONGEST
    assert not limit.expired()


def test_sooner_never_extends(clock: list[float]) -> None:
    outer = Deadline.after(10)
    assert outer.sooner(3).remaining() == 3
    assert outer.sooner(30) is outer


def test_check_names_what_took_too_long(clock: list[float]) -> None:
    limit = Deadline.after(2)
    limit.check("the boot")
    clock[0] += 2
    with pytest.raises(DeadlineError, match="the boot did not end within 2 s"):
        limit.check("the boot")


def test_a_wait_that_did_not_look_for_a_while_looks_once_more(clock: list[float]) -> None:
    """What came meanwhile is found before the time is said to be out."""
    wait = Deadline.after(10).wait()
    clock[0] += 5
    assert not wait.expired()
    clock[0] += 9
    assert not wait.expired()
    clock[0] += 0.9
    wait.check("it")
    clock[0] += 0.2
    with pytest.raises(DeadlineError, match="it did not end within 10 s"):
        wait.check("it")


def test_time_in_which_nothing_ran_does_not_count(clock: list[float]) -> None:
    """After ^Z for an hour, or in a virtual machine that was paused, there is as much time left."""
    limit = Deadline.after(10)
    wait = limit.wait()
    clock[0] += 0.5
    assert not wait.expired()
    clock[0] += 3600
    assert not wait.expired()
    assert limit.remaining() == 9.5  # for what comes next before the same deadline
    assert Deadline.after(10).sooner(3).remaining() == 3
    for _ in range(9):
        clock[0] += 1
        assert not wait.expired()
    clock[0] += 1
    assert wait.expired()


def test_a_wait_that_goes_on_ends_in_time(clock: list[float]) -> None:
    wait = Deadline.after(10).wait()
    for _ in range(99):
        clock[0] += 0.1
        assert not wait.expired()
    clock[0] += 0.2
    assert wait.expired()


def test_what_is_waited_for_gets_the_time_that_it_lost_but_not_for_ever(
    clock: list[float],
) -> None:
    lost = [0.0]
    limit = Deadline.after(10)
    wait = limit.wait(lambda: lost[0])
    while clock[0] < 104:
        clock[0] += 0.5
        lost[0] += 0.5
        assert not wait.expired()
    while clock[0] < 113.5:
        clock[0] += 0.5
        assert not wait.expired()
    clock[0] += 0.5
    assert wait.expired()
    wait = limit.wait(lambda: clock[0] - 100)  # it is stopped all the time
    while clock[0] < 119.5:
        clock[0] += 0.5
        assert not wait.expired()
    clock[0] += 0.5
    assert wait.expired()


def test_a_cancelled_wait_ends_at_once(clock: list[float]) -> None:
    limit = Deadline.after(10).cancellable()
    wait = limit.wait()
    clock[0] += 9
    limit.cancel()
    assert wait.expired()
