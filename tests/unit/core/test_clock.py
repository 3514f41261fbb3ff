from __future__ import annotations

import pytest

from toolkit.core.clock import FROZEN, Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_goes_as_the_systems_does(now: list[float]) -> None:
    clock, began = Clock(), now[0]
    ticked = began
    for _ in range(100):
        now[0] += FROZEN
        ticked = clock.tick(ticked)
    assert clock.now() == ticked == began + 100 * FROZEN
    assert clock.frozen() == 0


def test_stands_still_while_no_loop_looks(now: list[float]) -> None:
    clock = Clock()
    ticked = clock.tick(now[0])
    now[0] += 400
    assert clock.tick(ticked) == 500
    assert clock.now() == 100
    assert clock.frozen() == 400


def test_one_loop_that_went_on_shows_that_the_toolkit_ran(now: list[float]) -> None:
    """Another one may have had something long to do."""
    clock = Clock()
    one = other = now[0]
    for _ in range(40):
        now[0] += 1
        one = clock.tick(one)
    clock.tick(other)
    assert clock.frozen() == 0


def test_two_loops_notice_the_same_time_once(now: list[float]) -> None:
    clock = Clock()
    one = clock.tick(now[0])
    now[0] += 1
    other = clock.tick(now[0])
    now[0] += 400
    clock.tick(one)
    now[0] += 1
    clock.tick(other)
    assert clock.frozen() == 400


def test_a_time_without_any_loop_is_none_in_which_nothing_ran(now: list[float]) -> None:
    """Nobody waited: the toolkit was busy with something else, and now a loop begins."""
    clock = Clock()
    clock.tick(now[0])
    now[0] += 400
    began = now[0]
    now[0] += 1
    clock.tick(began)
    assert clock.frozen() == 0
