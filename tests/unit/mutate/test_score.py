from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mutate.some_mutants import mutant
from toolkit.core.model.mutation import Fate, Mutated, Verdict
from toolkit.mutate import score


@pytest.mark.parametrize(
    ("killed", "total", "low", "high"),
    [
        (0, 10, 0.0, 27.75),  # Brown, Cai and DasGupta (2001) have these by the same formula
        (10, 10, 72.25, 100.0),
        (50, 60, 71.96, 90.69),
        (81, 263, 25.53, 36.62),
    ],
)
def test_the_interval_is_wilsons(killed: int, total: int, low: float, high: float) -> None:
    found = score.interval(killed, total)
    assert found == pytest.approx((low, high), abs=0.01)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_score_and_no_impossible_one(numbers: tuple[int, int]) -> None:
    killed, total = numbers
    found = score.interval(killed, total)
    share = score.score(killed, total - killed)
    assert found is not None
    assert share is not None
    assert 0 <= found[0] <= share <= found[1] <= 100


@given(st.integers(1, 50))
def test_the_interval_of_more_mutants_is_smaller(number: int) -> None:
    few, many = score.interval(9 * number, 10 * number), score.interval(90 * number, 100 * number)
    assert few
    assert many
    assert many[1] - many[0] < few[1] - few[0]


def test_nothing_tried_has_neither_score_nor_interval() -> None:
    assert score.score(0, 0) is None
    assert score.interval(0, 0) is None


def test_the_order_is_the_seeds_and_has_all() -> None:
    some = list(range(100))
    assert score.shuffled(some, 1) == score.shuffled(some, 1)
    assert score.shuffled(some, 1) != score.shuffled(some, 2)
    assert sorted(score.shuffled(some, 3)) == some


def test_rows_count_by_operator_and_fate() -> None:
    def of(fate: Fate, why: str = "") -> Mutated:
        return Mutated(mutant(), Verdict(fate), why)

    fates = [of(Fate.KILLED), of(Fate.SURVIVED), of(Fate.SURVIVED, "so"), of(Fate.EQUIVALENT)]
    fates += [of(Fate.DUPLICATE), of(Fate.UNBUILT), of(Fate.PENDING)]
    [row] = score.rows(fates, {"gfp": "x", "boundary": "y"})
    assert (row.operator, row.meaning) == ("boundary", "y")
    assert (row.killed, row.survived, row.explained) == (1, 2, 1)
    assert (row.equivalent, row.duplicate, row.unbuilt, row.pending) == (1, 1, 1, 1)
