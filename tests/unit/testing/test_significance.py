from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.model.comparison import Repeats
from toolkit.testing import significance
from toolkit.testing.significance import LOOKS, Tally


def settled(before: float, after: float, chance: random.Random) -> Repeats:
    """Return what looking comes to where a leaf is bad with these probabilities."""
    tallies = [Tally(), Tally()]
    runs = 0
    for wanted in LOOKS:
        for _ in range(wanted - runs):
            tallies = [
                tally.plus(chance.random() < rate)
                for tally, rate in zip(tallies, (before, after), strict=True)
            ]
        runs = wanted
        repeats = significance.look(*tallies)
        if significance.enough(repeats):
            break
    return repeats


def test_always_against_never_takes_the_first_look() -> None:
    repeats = significance.look(Tally(0, LOOKS[0]), Tally(LOOKS[0], LOOKS[0]))
    assert repeats.established
    assert repeats.p == pytest.approx(1 / 924)  # 6 of 12 chosen
    assert significance.look(Tally(6, 6), Tally(0, 6), less=True).established
    assert not significance.look(Tally(6, 6), Tally(0, 6)).established


@pytest.mark.parametrize(
    ("more", "fewer", "p"),
    [  # of scipy 1.17.1: stats.fisher_exact(table, alternative="greater").pvalue
        (Tally(6, 6), Tally(0, 6), 0.0010822510822510823),
        (Tally(5, 12), Tally(0, 12), 0.018633540372670808),
        (Tally(7, 24), Tally(1, 24), 0.02396181557065447),
        (Tally(30, 48), Tally(11, 48), 8.444226926719875e-05),
        (Tally(96, 96), Tally(0, 96), 2.7702366485964165e-57),
        (Tally(48, 96), Tally(24, 96), 0.0002807569462250911),
        (Tally(3, 96), Tally(1, 6), 0.9834489331286069),
        (Tally(0, 6), Tally(6, 6), 1.0),
        (Tally(), Tally(0, 6), 1.0),
    ],
)
def test_fisher_agrees_with_scipy(more: Tally, fewer: Tally, p: float) -> None:
    assert significance.fisher(more, fewer) == pytest.approx(p, rel=1e-15, abs=0)


def test_one_time_in_five_is_found() -> None:
    chance = random.Random(1)
    established = [settled(0.0, 0.2, chance).established for _ in range(200)]
    assert sum(established) >= 190


def test_equal_flakes_are_hardly_ever_taken_for_different() -> None:
    chance = random.Random(2)
    established = [settled(0.2, 0.2, chance).established for _ in range(300)]
    assert sum(established) <= 6  # one in a hundred is what 99 % allows; 3 are expected at most


def test_what_is_never_seen_again_is_given_up_early() -> None:
    repeats = settled(0.0, 0.0, random.Random(3))
    assert (repeats.after_runs, repeats.established) == (24, False)


@given(*[st.tuples(st.integers(0, 96), st.integers(0, 96))] * 2)
def test_counts_give_a_probability(one: tuple[int, int], other: tuple[int, int]) -> None:
    before, after = (Tally(min(pair), max(pair)) for pair in (one, other))
    repeats = significance.look(before, after)
    assert 0.0 <= repeats.p <= 1.0 + 1e-9
    assert not (repeats.established and significance.look(before, after, less=True).established)
    assert repeats.established <= significance.enough(repeats)


@pytest.mark.parametrize("confidence", [0.9, 0.999])
def test_more_confidence_asks_for_more(confidence: float) -> None:
    repeats = significance.look(Tally(0, 6), Tally(6, 6), confidence=confidence)
    assert repeats.established == (confidence == 0.9)
