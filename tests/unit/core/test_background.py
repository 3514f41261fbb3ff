from __future__ import annotations

import threading
from itertools import count

import pytest

from toolkit.core.background import Background
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError

LONG = 60.0


def until_cancelled(deadline: Deadline) -> int:
    for rounds in count():
        if deadline.expired():
            return rounds
        threading.Event().wait(0.01)
    raise AssertionError


def test_a_result_is_waited_for() -> None:
    go_on = threading.Event()

    def work(_: Deadline) -> str:
        go_on.wait(LONG)
        return threading.current_thread().name

    work_done = Background("adder", work, Deadline.after(LONG), what="adding")
    assert not work_done.done()
    go_on.set()
    assert work_done.result(Deadline.after(LONG)) == "adder"
    assert work_done.done()
    assert work_done.result(Deadline.after(0)) == "adder"  # it is there, so nobody waits


def test_an_error_is_raised_for_who_asks() -> None:
    def work(_: Deadline) -> None:
        raise KeyError("lost")

    failing = Background("failing", work, Deadline.after(LONG), what="failing")
    failing.end()
    assert failing.done()
    with pytest.raises(KeyError, match="lost"):
        failing.result(Deadline.after(LONG))


def test_who_waits_has_a_deadline_of_its_own() -> None:
    slow = Background("slow", until_cancelled, Deadline.after(LONG), what="waiting for the slow")
    with pytest.raises(DeadlineError, match="waiting for the slow"):
        slow.result(Deadline.after(0.05))
    assert not slow.done()
    slow.end()
    assert slow.done()


def test_the_end_leaves_the_callers_deadline_alone() -> None:
    callers = Deadline.after(LONG).cancellable()
    slow = Background("slow", until_cancelled, callers, what="waiting for the slow")
    slow.end()
    assert not callers.cancelled()


def test_a_cancelled_caller_ends_the_work() -> None:
    callers = Deadline.after(LONG).cancellable()
    slow = Background("slow", until_cancelled, callers, what="waiting for the slow")
    callers.cancel()
    slow.result(Deadline.after(LONG))
