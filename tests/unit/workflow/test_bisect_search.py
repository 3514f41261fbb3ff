from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import git
from tests.unit.history import History, Parents, line, name, real
from tests.unit.host.test_git import FORK, histories
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.observer import Silent
from toolkit.host.git import Repository
from toolkit.workflow.bisect_search import FILE, LOG, Bisector, Plan
from toolkit.workflow.bisect_state import Bisection, Judgement, Outcome, Role

GOOD, BAD, SKIP = Judgement.GOOD, Judgement.BAD, Judgement.SKIP

Verdicts = Callable[[int], Judgement]


def broken_by(parents: Parents, culprit: int, untested: Collection[int] = ()) -> Verdicts:
    history = History(parents)

    def judge(number: int) -> Judgement:
        if number in untested:
            return SKIP
        return BAD if culprit in history.ancestors(number) else GOOD

    return judge


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, text: str) -> None:
        self.lines.append(text)


def bisector(
    folder: Path, parents: Parents, verdicts: Verdicts, bad: int, *good: int, told: Any = None
) -> Bisector:
    history = History(parents)
    plan = Plan(cast(Repository, history), f"{bad:x}", tuple(f"{one:x}" for one in good), "a/b/c")

    def judge(commit: str, place: Path) -> tuple[Judgement, str]:
        assert place.is_dir()
        return verdicts(int(commit, 16)), "for a reason"

    return Bisector(plan, judge, folder, told or Silent())


def numbers(result: Bisection) -> list[int]:
    return [int(commit.id, 16) for commit in result.candidates]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(30), st.data())
def test_it_finds_the_culprit_in_any_history(parents: Parents, data: st.DataObject) -> None:
    every, history = range(len(parents)), History(parents)
    culprit = data.draw(st.sampled_from(every[1:]))
    after = {each for each in every if culprit in history.ancestors(each)}
    bad = data.draw(st.sampled_from(sorted(after)))
    good = data.draw(st.sampled_from(sorted({*every} - after)))
    untested = data.draw(st.sets(st.sampled_from(every))) - {bad, good}
    with tempfile.TemporaryDirectory() as folder:
        judge = broken_by(parents, culprit, untested)
        result = bisector(Path(folder), parents, judge, bad, good).search()
    left = numbers(result)
    assert culprit in left
    assert result.outcome is (Outcome.FOUND if len(left) == 1 else Outcome.SEVERAL)
    assert set(left[1:]) <= untested
    assert left[0] not in untested
    judged = [step.commit.id for step in result.steps]
    assert len(judged) == len(set(judged))
    if not untested:
        assert left == [culprit]


def test_what_it_leaves_behind(tmp_path: Path) -> None:
    told = Told()
    judge = broken_by(line(9), 4, {5})
    result = bisector(tmp_path, line(9), judge, 8, 0, told=told).search()
    assert result.outcome is Outcome.FOUND
    assert numbers(result) == [4]
    steps = [(int(each.commit.id, 16), each.role, each.judgement) for each in result.steps]
    assert steps[:2] == [(8, Role.BAD_END, BAD), (0, Role.GOOD_END, GOOD)]
    assert {role for _, role, _ in steps[2:]} == {Role.MIDPOINT}
    saved = json.loads((tmp_path / FILE).read_text())
    assert saved["outcome"] == "found"
    assert saved["candidates"] == [
        {
            "id": name(4),
            "author": "A <a@x>",
            "date": "2026-01-01T00:00:00+00:00",
            "subject": "subject 4",
        }
    ]
    assert [each["folder"] for each in saved["steps"]][:2] == [
        f"steps/01-{name(8)[:12]}",
        f"steps/02-{name(0)[:12]}",
    ]
    assert all((tmp_path / each["folder"]).is_dir() for each in saved["steps"])
    assert (tmp_path / LOG).read_text().endswith(f"first bad commit: [{name(4)}] subject 4\n")
    assert any("8 commits in question, about 3 steps" in line for line in told.lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, LOG, "steps"]


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({8: GOOD, 0: GOOD}, "8 is not bad: for a reason"),
        ({8: SKIP, 0: GOOD}, "8 cannot be judged: for a reason"),
        ({8: BAD, 0: BAD}, "0 is not good: for a reason"),
        ({8: BAD, 0: SKIP}, "0 cannot be judged: for a reason"),
    ],
)
def test_the_ends_are_what_they_are_said_to_be(
    tmp_path: Path, verdicts: dict[int, Judgement], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        bisector(tmp_path, line(9), verdicts.__getitem__, 8, 0).search()
    assert caught.value.what == said
    saved = json.loads((tmp_path / FILE).read_text())
    assert (saved["outcome"], saved["message"]) == ("stopped", said)


@pytest.mark.parametrize(("bad", "good"), [(3, 3), (3, 5)])
def test_ends_in_the_wrong_order_cost_no_build(tmp_path: Path, bad: int, good: int) -> None:
    with pytest.raises(UserError, match="does not come after"):
        bisector(tmp_path, line(9), lambda _: pytest.fail("was judged"), bad, good).search()


def test_where_a_good_branch_leaves_is_judged_first(tmp_path: Path) -> None:
    # 0 - 1 - 2 - 4 - 5 with 3 beside 2; the good end is 3, on the side.
    side: Parents = [[], [0], [1], [1], [2], [4]]
    result = bisector(tmp_path / "a", side, broken_by(side, 4), 5, 3)
    (tmp_path / "a").mkdir()
    found = result.search()
    assert numbers(found) == [4]
    roles = [(int(each.commit.id, 16), each.role) for each in found.steps[:3]]
    assert roles == [(5, Role.BAD_END), (3, Role.GOOD_END), (1, Role.MERGE_BASE)]

    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="is bad already"):
        mended = {5: BAD, 3: GOOD, 1: BAD}
        bisector(tmp_path / "b", side, mended.__getitem__, 5, 3).search()

    (tmp_path / "c").mkdir()
    told = Told()
    judge = broken_by(side, 4, {1})
    assert numbers(bisector(tmp_path / "c", side, judge, 5, 3, told=told).search()) == [4]
    assert any("taken to be good" in line for line in told.lines)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InfrastructureError("QEMU was killed"), "stopped"),
        (OSError(28, "No space left on device"), "stopped"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_stops_it_is_no_verdict(tmp_path: Path, error: BaseException, outcome: str) -> None:
    def verdicts(number: int) -> Judgement:
        if number not in (0, 8):
            raise error
        return BAD if number else GOOD

    with pytest.raises(type(error)):
        bisector(tmp_path, line(9), verdicts, 8, 0).search()
    saved = json.loads((tmp_path / FILE).read_text())
    assert saved["outcome"] == outcome
    assert [step["judgement"] for step in saved["steps"]] == ["bad", "good"]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_real_repository_is_left_alone_and_git_replays_the_log(tmp_path: Path) -> None:
    parents: Parents = [*FORK, [5], [6], [3, 7], [8], [9]]
    repo, folder = tmp_path / "r", tmp_path / "run"
    ids = real(repo, parents)
    folder.mkdir()
    (repo / "state").write_text("edited\n")
    (repo / "more").write_text("new\n")
    before = snapshot(repo)
    verdicts = broken_by(parents, 6, {7})

    def judge(commit: str, _: Path) -> tuple[Judgement, str]:
        return verdicts(ids.index(commit)), ""

    plan = Plan(Repository(repo), "HEAD", ("c1", "c2"), "a/b/c")
    result = Bisector(plan, judge, folder, Silent()).search()
    assert snapshot(repo) == before
    first = result.candidates[0]
    assert (first.id, first.subject) == (ids[6], "subject 6")

    git(repo, "reset", "-q", "--hard")
    said = git(repo, "bisect", "replay", str(folder / LOG)).decode()
    assert f"{ids[6]} is the first bad commit" in said
