from __future__ import annotations

import pytest

from tests.unit.history import History, line, name
from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Commit
from toolkit.workflow import bisect_state
from toolkit.workflow.bisect_state import Bisection, Judgement, Outcome, Role, Step


def search(count: int, first_bad: int, broken: range = range(0)) -> tuple[list[str], int]:
    """Bisect a line of commits after commit 0; return what is left, and the number of steps."""
    history = History(line(count + 1))
    bad, good, skipped, steps = name(count), [name(0)], set[str](), 0
    while True:
        halving = history.halving(bad, good, Deadline.after(1))
        following = bisect_state.following(halving, skipped)
        if following is None:
            return bisect_state.remaining(halving, skipped), steps
        steps += 1
        assert following not in skipped | {bad, *good}
        if int(following, 16) in broken:
            skipped.add(following)
        elif int(following, 16) >= first_bad:
            bad = following
        else:
            good.append(following)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 100])
def test_a_line_takes_as_many_steps_as_halves(count: int) -> None:
    for first_bad in range(1, count + 1):
        left, steps = search(count, first_bad)
        assert left == [name(first_bad)]
        assert steps <= bisect_state.steps_left(count)


@pytest.mark.parametrize(("count", "steps"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1000, 10)])
def test_how_many_steps_are_left(count: int, steps: int) -> None:
    assert bisect_state.steps_left(count) == steps


@pytest.mark.parametrize("first_bad", [1, 150, 299, 401, 600])
def test_a_broken_stretch_is_left_and_not_walked_through(first_bad: int) -> None:
    left, steps = search(600, first_bad, range(300, 400))
    assert left == [name(first_bad)]
    assert steps <= 30


def test_what_only_broken_ones_separate_stays_together() -> None:
    left, _ = search(9, 5, range(4, 7))
    assert left[0] == name(7)
    assert sorted(left[1:]) == [name(number) for number in (4, 5, 6)]


def test_the_next_one_lies_apart_from_what_cannot_be_judged() -> None:
    halving = [name(number) for number in range(20)]
    assert bisect_state.following(halving, set()) == name(0)
    skipped: set[str] = set()
    came = []
    for _ in range(4):
        following = bisect_state.following(halving, skipped)
        assert following
        came.append(int(following, 16))
        skipped.add(following)
    assert came == [0, 7, 3, 18]
    assert bisect_state.following(halving, {name(3)}) == name(0)


def result(outcome: Outcome, *candidates: Commit) -> Bisection:
    def step(number: int, judgement: Judgement, subject: str = "s") -> Step:
        commit = Commit(name(number), "A <a@x>", "2026-01-01T00:00:00Z", subject)
        return Step(commit, Role.MIDPOINT, judgement, "", 1.0, "")

    return Bisection(
        outcome=outcome,
        leaf="kvm/x/y",
        repository="/r",
        bad="HEAD",
        good=("v1",),
        repeat=1,
        steps=(
            step(9, Judgement.BAD, "end\x1b[2J"),
            step(1, Judgement.GOOD),
            step(5, Judgement.SKIP),
        ),
        candidates=candidates,
        message="",
        command=(),
        started="",
        seconds=1.0,
        toolkit="1",
    )


def test_a_log_says_what_was_said() -> None:
    found = Commit(name(6), "A <a@x>", "2026", "kvm: break it")
    assert bisect_state.log(result(Outcome.FOUND, found)).splitlines() == [
        "git bisect start",
        f"# bad: [{name(9)}] end\\x1b[2J",
        f"git bisect bad {name(9)}",
        f"# good: [{name(1)}] s",
        f"git bisect good {name(1)}",
        f"# skip: [{name(5)}] s",
        f"git bisect skip {name(5)}",
        f"# first bad commit: [{name(6)}] kvm: break it",
    ]
    other = Commit(name(5), "A <a@x>", "2026", "kvm: build not")
    assert bisect_state.log(result(Outcome.SEVERAL, found, other)).splitlines()[-3:] == [
        "# only skipped commits left to test",
        f"# possible first bad commit: [{name(6)}] kvm: break it",
        f"# possible first bad commit: [{name(5)}] kvm: build not",
    ]
