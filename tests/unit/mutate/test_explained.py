from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.mutate.some_mutants import by_hand, mutant
from toolkit.core.model.mutation import Fate, Mutated, Verdict
from toolkit.core.model.series import Explained
from toolkit.mutate import explained

LINE = "\tif (a < 3)"


@pytest.mark.parametrize(
    ("entry", "matches"),
    [
        (Explained("a.c", "why", line="if (a < 3)"), True),
        (Explained("a.c", "why", function="f"), True),
        (Explained("a.c", "why", function="f", operator="boundary"), True),
        (Explained("a.c", "why", function="f", operator="gfp"), False),
        (Explained("a.c", "why", function="g"), False),
        (Explained("b.c", "why", function="f"), False),
        (Explained("a.c", "why", line="if (a < 4)"), False),
        (Explained("", "why", fault="x"), False),
    ],
)
def test_an_explanation_says_which_mutants_it_is_for(entry: Explained, matches: bool) -> None:
    assert explained.matches(entry, mutant(), LINE) is matches
    assert explained.reason(mutant(), LINE, [entry]) == ("why" if matches else "")


def test_a_fault_by_hand_goes_by_its_name_alone() -> None:
    entry = Explained("", "why", fault="51-no-grace-period")
    assert explained.matches(entry, by_hand("51-no-grace-period"), "")
    assert not explained.matches(entry, by_hand("52"), "")
    of_file = Explained("a.c", "why", function="f")
    assert not explained.matches(of_file, replace(by_hand("52"), function="f"), "")


def test_explanations_that_no_survivor_needs_are_stale() -> None:
    entries = [
        Explained("a.c", "why", function="f"),
        Explained("a.c", "why", function="g"),
        Explained("", "why", fault="x"),
        Explained("", "why", fault="y"),
    ]
    tried = [
        (Mutated(mutant(), Verdict(Fate.SURVIVED)), LINE),
        (Mutated(mutant("1", function="g"), Verdict(Fate.KILLED)), LINE),
        (Mutated(by_hand("x"), Verdict(Fate.SURVIVED)), ""),
    ]
    assert explained.stale(entries, tried) == ("a.c: g", "y")
