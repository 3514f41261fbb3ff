"""Workers that build and try, on work that only pretends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import pytest

from toolkit.core.deadline import Deadline
from toolkit.mutate.shift import Shift


class Pretended:
    """Work on numbers: odd ones need no try, -1 cannot be made, and -6 comes last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.log: list[tuple[str, int]] = []
        self.open = False
        self.opener: set[threading.Thread] = set()

    @contextlib.contextmanager
    def bench(self, batch: Sequence[int]) -> Iterator[str]:
        assert not self.open, "one bench at a time"
        self.open = True
        self.opener.add(threading.current_thread())
        try:
            yield "bench"
        finally:
            self.opener.add(threading.current_thread())
            self.open = False

    def make(self, bench: str, item: int) -> int | None:
        assert self.open, "made on a bench that is closed"
        if item == -1:
            raise ValueError("cannot be made")
        with self.lock:
            self.log.append(("made", item))
        return item if item % 2 == 0 else None

    def comes_last(self, made: int) -> bool:
        return made == -6

    def attempt(self, made: int) -> None:
        if made == -2:
            raise ValueError("cannot be tried")
        if made == -4:
            raise KeyboardInterrupt
        with self.lock:
            self.log.append(("tried", made))

    def of(self, what: str) -> list[int]:
        return sorted(number for word, number in self.log if word == what)


def shift(work: Pretended, batch: int = 3) -> Shift[int, int, str]:
    return Shift(work, batch, Deadline.after(60).cancellable())


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_everything_is_made_and_what_is_made_is_tried(workers: int, batch: int) -> None:
    work = Pretended()
    shift(work, batch).run(range(20), workers)
    assert work.of("made") == list(range(20))
    assert work.of("tried") == list(range(0, 20, 2))
    # A lock that one thread took cannot be given back by another.
    assert work.opener == {threading.current_thread()}


@pytest.mark.parametrize("batch", [1, 100])
def test_what_comes_last_is_tried_when_everything_has_been_made(batch: int) -> None:
    work = Pretended()
    shift(work, batch).run([0, -6, 2, 4], 1)
    assert work.log[-1] == ("tried", -6)
    assert work.of("tried") == [-6, 0, 2, 4]


def test_nothing_to_do_ends() -> None:
    work = Pretended()
    shift(work).run([], 2)
    assert not work.log


@pytest.mark.parametrize("bad", [-1, -2])
def test_what_a_worker_raises_ends_the_shift_and_is_raised(bad: int) -> None:
    work = Pretended()
    one = shift(work)
    with pytest.raises(ValueError, match="cannot be"):
        one.run([2, bad, *range(4, 400)], 2)
    assert one.deadline.cancelled()
    assert not work.open
    assert len(work.of("made")) < 300


def test_an_interrupt_ends_it_with_the_bench_given_back() -> None:
    work = Pretended()
    one = shift(work)
    with pytest.raises(KeyboardInterrupt):
        one.run([2, -4, *range(6, 400)], 1)
    assert not work.open
