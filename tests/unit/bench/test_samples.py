from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bench_samples import benchmark
from toolkit.bench import samples
from toolkit.bench.samples import WALL, compare, costs, differences, median_interval


def test_a_cost_is_what_is_left_of_a_batch_without_its_loop() -> None:
    assert costs(benchmark({"a": [[100, 100, 100]]}))["a"].value == 100


def test_a_batch_that_the_timer_interrupted_does_not_count() -> None:
    cost = costs(benchmark({"a": [[100, 900, 100], [100, 100, 300]]}))["a"]
    assert (cost.value, cost.low, cost.high, cost.spread) == (100, 100, 100, 0)


def test_the_spread_is_that_between_runs() -> None:
    cost = costs(benchmark({"a": [[100] * 3, [101] * 3, [102] * 3]}))["a"]
    assert (cost.value, cost.low, cost.high) == (101, 100, 102)
    assert cost.spread == pytest.approx(2 / 101)


def test_real_time_takes_all_samples_together() -> None:
    cost = costs(benchmark({"a": [[1, 2, 3], [100, 5, 6]]}, clock=WALL))["a"]
    assert cost.value == 4
    assert (cost.low, cost.high) == (1, 100)


@pytest.mark.parametrize(
    ("count", "ranks"),
    [(5, (1, 5)), (6, (1, 6)), (10, (2, 9)), (15, (4, 12)), (20, (6, 15)), (75, (29, 47))],
)
def test_the_interval_has_the_ranks_of_the_tables(count: int, ranks: tuple[int, int]) -> None:
    # Any table of the sign test, such as Conover's: the ranks that hold the median at 95 %.
    assert median_interval(range(1, count + 1)) == ranks


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60))
def test_the_interval_holds_the_median(values: list[float]) -> None:
    low, high = median_interval(values)
    assert low <= statistics.median(values) <= high


def test_what_stays_within_the_spread_has_not_moved() -> None:
    before = benchmark({"a": [[100], [104]]})
    (move,) = compare(before, benchmark({"a": [[103], [107]]}))
    assert not move.beyond_spread
    assert not move.regressed(0.005)


def test_what_grows_beyond_spread_and_tolerance_is_a_regression() -> None:
    before, after = benchmark({"a": [[1000], [1001]]}), benchmark({"a": [[1006], [1007]]})
    (move,) = compare(before, after)
    assert move.beyond_spread
    assert move.regressed(0.005)
    assert not move.regressed(0.01)


def test_what_shrinks_has_moved_and_is_no_regression() -> None:
    (move,) = compare(benchmark({"a": [[1000]]}), benchmark({"a": [[900]]}))
    assert move.beyond_spread
    assert not move.regressed(0.005)
    assert move.change == pytest.approx(-0.1)


def test_a_row_that_is_gone_is_a_regression_and_a_new_one_is_not() -> None:
    gone, new = compare(benchmark({"a": [[1]]}), benchmark({"b": [[1]]}))
    assert (gone.name, new.name) == ("a", "b")
    assert gone.regressed(0.005)
    assert not new.regressed(0.005)


def test_only_the_rows_asked_for_are_compared() -> None:
    both = benchmark({"a/any/1": [[1]], "b": [[1]]})
    assert [move.name for move in compare(both, benchmark({"c": [[1]]}), ("a/*",))] == ["a/any/1"]


def test_different_kernels_are_named() -> None:
    before, after = benchmark({"a": [[1]]}), benchmark({"a": [[1]]}, release="6.13")
    assert differences(before, before) == []
    assert differences(before, after) == ["release: 6.12.117 against 6.13"]


def test_the_unit_is_that_of_the_clock() -> None:
    assert benchmark({}).unit == "instructions"
    assert benchmark({}, clock=samples.WALL).unit == "ns"
