from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linear import assert_linear
from toolkit.core.model.comparison import LeafClass, Repeats
from toolkit.core.model.testing import Leaf, Status
from toolkit.testing import classify, verdicts
from toolkit.testing.classify import Side

STATUSES = st.sampled_from([*Status])
IDS = st.sampled_from(["kvm/a/x", "kvm/a/y", "kvm/a/dmesg", "kvm/a", "kvm/b/x", "boot/dmesg"])
LEAVES = st.dictionaries(IDS, STATUSES, max_size=6)


def side(leaves: dict[str, Status]) -> Side:
    programs: dict[str, list[tuple[Leaf, ...]]] = {}
    for name, status in leaves.items():
        if not name.startswith("boot"):
            seen = programs.setdefault(classify.program_of(name), [()])
            seen[0] = (*seen[0], Leaf(name, status, "said"))
    boot = tuple(Leaf(name, leaves[name]) for name in leaves if name.startswith("boot"))
    return Side(programs, boot)


@given(LEAVES, LEAVES)
def test_every_leaf_has_a_class_and_the_verdict_follows_it(
    before: dict[str, Status], after: dict[str, Status]
) -> None:
    leaves = [Leaf(name, status, "said") for name, status in after.items()]
    points = classify.compare(side(before), side(after), leaves)
    assert len({point.id for point in points}) == len(points)
    assert {leaf.id for leaf in leaves} <= {point.id for point in points}
    lost = before.keys() - {point.id for point in points}
    assert all(
        before[name] is Status.SKIP or (classify.artificial(name) and not before[name].bad)
        for name in lost
    )
    verdict_leaves = classify.judged(leaves, points)
    assert {leaf.id for leaf in verdict_leaves if leaf.status.bad} == {
        point.id for point in points if point.leaf_class.bad
    }


@given(LEAVES)
def test_a_side_compared_with_itself_has_no_change(leaves: dict[str, Status]) -> None:
    same = side(leaves)
    assert classify.changes(same, same) == []
    points = classify.compare(same, same, same.worst().values())
    wrong = {
        LeafClass.REGRESSION,
        LeafClass.MISSING,
        LeafClass.FIXED,
        LeafClass.FLAKY,
        LeafClass.NEW,
    }
    assert not wrong & {point.leaf_class for point in points}


@given(LEAVES, LEAVES)
def test_a_change_is_a_difference(before: dict[str, Status], after: dict[str, Status]) -> None:
    ids = {change.id for change in classify.changes(side(before), side(after))}
    names = before.keys() | after.keys()
    assert ids == {name for name in names if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("at 0xffff8881 in x", "at 0xffff9993 in x", True),
        ("[   12.345] BUG", "[   99.1] BUG", True),
        ("CPU: 1 PID: 61 at x", "CPU: 1 PID: 99 at x", True),
        ("did not end: 12.25 s", "did not end: 13.01 s", True),
        ("Expected EINVAL (22) == errno (17)", "Expected EINVAL (22) == errno (28)", False),
    ],
)
def test_ways_to_fail_differ_by_what_is_the_same_in_each_run(
    one: str, other: str, same: bool
) -> None:
    signatures = [
        classify.signature(Leaf("kvm/a/x", Status.FAIL, message)) for message in (one, other)
    ]
    assert (signatures[0] == signatures[1]) is same


def test_a_skip_by_choice_is_not_for_want_of_anything() -> None:
    leaves = [
        Leaf("kvm/a/x", Status.SKIP, "slow: set KSFT_SLOW=1"),
        Leaf("kvm/a/y", Status.SKIP, "KVM_CAP_X is not there"),
    ]
    points = classify.compare(Side(), Side(), leaves)
    assert [point.leaf_class for point in points] == [LeafClass.SKIPPED, LeafClass.UNTESTABLE]


def test_several_runs_give_the_worst_of_each_leaf_and_how_often() -> None:
    good, bad = Leaf("kvm/a/x", Status.PASS), Leaf("kvm/a/x", Status.FAIL, "said")
    other = Leaf("kvm/a/y", Status.PASS)
    (worst, rest) = classify.merged([(good, other), (bad, other), (good, other)])
    assert (worst.status, worst.message) == (Status.FAIL, "fail in 1 of 3 runs\nsaid")
    assert rest == other
    assert classify.merged([(bad,)]) == [bad]


def test_what_was_not_seen_again_is_flaky() -> None:
    (point,) = classify.compare(
        side({"kvm/a/x": Status.PASS}),
        side({"kvm/a/x": Status.FAIL}),
        [Leaf("kvm/a/x", Status.FAIL, "said")],
    )
    assert classify.needs_repeating(point)
    repeats = Repeats(1, 48, 2, 48, 0.5, 0.002, established=False)
    settled = classify.with_repeats(point, repeats)
    (leaf,) = classify.judged([Leaf("kvm/a/x", Status.FAIL, "said")], [settled])
    assert leaf.status is Status.XFAIL
    assert leaf.known == "flaky: in 2 of 48 runs, before in 1 of 48 (p = 0.5)"
    assert verdicts.verdict([leaf])[1] == 0


def classes(before: dict[str, Status], after: dict[str, Status]) -> dict[str, LeafClass]:
    leaves = [Leaf(name, status) for name, status in after.items()]
    compared = classify.compare(side(before), side(after), leaves)
    return {leaf.id: leaf.leaf_class for leaf in compared}


def test_what_stands_for_no_test_is_not_missing() -> None:
    # membarrier's new test on a kernel without its command, and on one that has it.
    base = {"m/t/Bail out!": Status.ERROR, "m/t/1..3": Status.CRASH, "m/t/a/plan#2": Status.ERROR}
    series = {"m/t/sys_membarrier": Status.PASS, "m/t/expedited": Status.PASS}
    assert classes(base, series) == {
        "m/t/Bail out!": LeafClass.FIXED,
        "m/t/1..3": LeafClass.FIXED,
        "m/t/a/plan#2": LeafClass.FIXED,
        "m/t/sys_membarrier": LeafClass.NEW,
        "m/t/expedited": LeafClass.NEW,
    }
    # The other way round it is a regression, and each test that no longer comes is missing.
    assert classes({"m/t/a": Status.PASS}, {"m/t/Bail out!": Status.ERROR}) == {
        "m/t/Bail out!": LeafClass.REGRESSION,
        "m/t/a": LeafClass.MISSING,
    }


def test_crashed_result_without_a_name_is_not_missing_but_a_passed_one_is() -> None:
    assert classes({"m/t/2": Status.CRASH}, {"m/t/b": Status.PASS})["m/t/2"] is LeafClass.FIXED
    assert classes({"m/t/2": Status.PASS}, {"m/t/b": Status.PASS})["m/t/2"] is LeafClass.MISSING


def test_skip_without_a_name_is_not_missing_where_the_test_has_one() -> None:
    before = {"m/t/opens": Status.PASS, "m/t/2": Status.SKIP}
    after = {"m/t/opens": Status.PASS, "m/t/feature works": Status.PASS}
    assert classes(before, after) == {
        "m/t/opens": LeafClass.UNCHANGED,
        "m/t/feature works": LeafClass.NEW,
    }


def test_time_is_linear() -> None:
    def work(size: int) -> None:
        leaves = tuple(Leaf(f"m/t/{number}", Status.FAIL) for number in range(size))
        one = Side({"m/t": [leaves, leaves]})
        classify.compare(one, one, classify.merged([leaves, leaves]))

    assert_linear(work, 1000)


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.ERROR])
def test_a_test_that_the_series_changes_has_to_run_to_its_end(status: Status) -> None:
    leaf = Leaf("kvm/a", status, "why")
    compared = classify.compare(side({"kvm/a": status}), side({"kvm/a": status}), [leaf])
    assert [each.leaf_class for each in compared] == [LeafClass.PREEXISTING]
    assert not classify.judged([leaf], compared)[0].status.bad
    (kept,) = classify.judged([leaf], compared, {"kvm/a"})
    assert kept.status is status
    assert kept.message.startswith("the series changes this test")
