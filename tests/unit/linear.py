"""Whether the time of some work grows with the size of its input, and not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable

_FACTOR = 4
_SLACK = 2.5  # linear work takes 4 times as long, quadratic work 16 times
_TRIES = 5


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Fail when work on four times the size takes far more than four times the processor time.

    Time that other processes take does not count, and one good measurement of five is enough.
    """
    ratios = []
    for _ in range(_TRIES):
        small, large = _seconds(work, size), _seconds(work, size * _FACTOR)
        ratios.append(large / max(small, 1e-3))
        if ratios[-1] < _FACTOR * _SLACK:
            return
    raise AssertionError(f"{_FACTOR} times the input took {ratios} times as long")


def _seconds(work: Callable[[int], object], size: int) -> float:
    start = time.process_time()
    work(size)
    return time.process_time() - start
