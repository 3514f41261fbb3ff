from __future__ import annotations

from dataclasses import replace

from tests.unit.mutate.some_mutants import by_hand, mutant
from toolkit.mutate.order import Covered, Order

ALL = ("kvm/a", "kvm/b", "kvm/c")
LINES = {
    ("a.c", 5): frozenset({"kvm/c", "kvm/a"}),
    ("a.c", 6): frozenset({"kvm/b"}),
    ("a.c", 7): frozenset[str](),
}


def test_only_programs_that_ran_the_line_are_asked() -> None:
    covered = Covered(ALL, LINES)
    assert covered.of(mutant(line=5)) == ("kvm/a", "kvm/c")
    assert covered.of(mutant(line=7)) == ()


def test_all_lines_of_what_is_replaced_count() -> None:
    wide = replace(mutant(line=5), original="a <\n  b")
    assert Covered(ALL, LINES).of(wide) == ALL


def test_a_line_without_code_stands_for_its_function_and_one_without_any_for_all() -> None:
    covered = Covered(ALL, LINES)
    assert covered.of(mutant(line=4)) == ALL  # those who ran the lines 5 to 7
    only = Covered(ALL, {("a.c", 6): frozenset({"kvm/b"})})
    assert only.of(mutant(line=4)) == ("kvm/b",)
    assert Covered(ALL, {}).of(mutant()) == ALL


def test_what_the_boot_ran_and_faults_by_hand_concern_every_program() -> None:
    covered = Covered(ALL, LINES, frozenset({("a.c", 7)}))
    assert covered.of(mutant(line=7)) == ALL
    assert Covered(ALL, LINES).of(by_hand("x")) == ALL


def test_the_quickest_comes_first_while_nothing_is_known() -> None:
    order = Order({"kvm/a": 3.0, "kvm/b": 0.5, "kvm/c": 1.0})
    assert order.sorted(mutant(), ALL) == ["kvm/b", "kvm/c", "kvm/a"]


def test_who_killed_the_neighbours_comes_first() -> None:
    order = Order({"kvm/a": 3.0, "kvm/b": 0.5, "kvm/c": 1.0})
    order.learn(mutant("1", line=4), "kvm/a")
    assert order.sorted(mutant(line=5), ALL)[0] == "kvm/a"
    assert order.sorted(mutant(line=5, file="b.c"), ALL)[0] == "kvm/b"
    order.learn(mutant("2", line=5), "kvm/c")
    assert order.sorted(mutant(line=5), ALL)[:2] == ["kvm/c", "kvm/a"]


def test_a_kill_in_another_function_says_little() -> None:
    order = Order({"kvm/a": 1.0, "kvm/b": 1.1})
    order.learn(mutant("1", line=40, function="g"), "kvm/b")
    assert order.sorted(mutant(), ALL[:2]) == ["kvm/b", "kvm/a"]
    order.learn(mutant("2", line=6), "kvm/a")
    assert order.sorted(mutant(), ALL[:2]) == ["kvm/a", "kvm/b"]


def test_what_killed_but_did_not_run_the_line_is_not_asked() -> None:
    order = Order({})
    order.learn(mutant("1"), "boot/")
    order.learn(mutant("2"), "kvm/c")
    assert sorted(order.sorted(mutant(), ("kvm/a",))) == ["kvm/a"]
