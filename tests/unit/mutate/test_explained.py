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
    survived = Verdict(Fate.SURVIVED, passed=("kvm/args",))
    why = "why" if matches else ""
    assert explained.judged(mutant(), survived, LINE, [entry]) == (survived, why)


def test_an_equivalent_mutant_has_not_survived() -> None:
    entries = [
        Explained("a.c", "elsewhere", function="g", equivalent=True),
        Explained("a.c", "why", function="f", equivalent=True),
    ]
    verdict, why = explained.judged(mutant(), Verdict(Fate.SURVIVED), LINE, entries)
    assert (verdict.fate, why) == (Fate.EQUIVALENT, "why")
    assert not verdict.fate.counts


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
    assert explained.stale(entries, tried) == (
        "a.c: g explains a survivor that there is none of",
        "y explains a survivor that there is none of",
    )


def test_an_equivalent_mutant_that_a_test_killed_is_announced() -> None:
    entries = [
        Explained("a.c", "why", function="f", equivalent=True),
        Explained("a.c", "why", function="g", equivalent=True),
        Explained("a.c", "why", function="h", equivalent=True),
        Explained("a.c", "why", function="i"),
    ]
    as_said = Verdict(Fate.EQUIVALENT)
    tried = [
        (Mutated(mutant(), as_said, "why"), LINE),
        (Mutated(mutant("1", function="g"), as_said, "why"), LINE),
        (Mutated(mutant("2", function="g"), Verdict(Fate.KILLED, by="kvm/args/len")), LINE),
        (Mutated(mutant("3", function="h"), Verdict(Fate.EQUIVALENT)), LINE),
        (Mutated(mutant("4", function="i"), Verdict(Fate.SURVIVED), "why"), LINE),
        (Mutated(mutant("5", function="i"), Verdict(Fate.KILLED)), LINE),
    ]
    assert explained.stale(entries, tried) == (
        "a.c: g is said to be equivalent: kvm/args/len killed it",
        "a.c: h explains a survivor that there is none of",
    )
