from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import git, soon
from tests.unit.history import History, Parents, line, real
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.host.git import Change, Repository
from toolkit.host.process import Completed

FORK: Parents = [[], [0], [1], [1], [2, 3], [4]]


@st.composite
def histories(draw: st.DrawFn, most: int = 12) -> Parents:
    count = draw(st.integers(2, most))
    return [
        draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=2, unique=True))
        if number
        else []
        for number in range(count)
    ]


def test_a_commit_and_what_it_is_known_by(tmp_path: Path) -> None:
    ids = real(tmp_path / "r", line(3))
    commit = Repository(tmp_path / "r").commit("c1", soon())
    assert commit.id == ids[1]
    assert commit.author == "A Thor <a@x>"
    assert commit.date == "1970-01-01T00:16:41+00:00"
    assert commit.subject == "subject 1"


@pytest.mark.parametrize("revision", [":/subject 1", "HEAD^{/subject 1}", "c2~", "c1^{commit}"])
def test_a_commit_is_named_in_all_of_gits_ways(tmp_path: Path, revision: str) -> None:
    ids = real(tmp_path / "r", line(3))
    assert Repository(tmp_path / "r").commit(revision, soon()).id == ids[1]


def test_a_date_in_utc_is_the_same_whatever_git_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newer(repository: Repository, deadline: Deadline, *words: str, **rest: Any) -> Completed:
        done = run(repository, deadline, *words, **rest)
        return dataclasses.replace(done, stdout=done.stdout.replace(b"+00:00\n", b"Z\n"))

    run = Repository._run
    monkeypatch.setattr(Repository, "_run", newer)
    real(tmp_path / "r", line(2))
    assert Repository(tmp_path / "r").commit("c1", soon()).date == "1970-01-01T00:16:41+00:00"


def test_an_unknown_revision_lists_the_nearest(tmp_path: Path) -> None:
    real(tmp_path / "r", line(3))
    for revision in ("c7", "--all", "HEAD; rm", ""):
        with pytest.raises(UserError, match="has no revision") as caught:
            Repository(tmp_path / "r").commit(revision, soon())
        assert "c1" in caught.value.hint


def test_a_folder_without_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for ask in (Repository(tmp_path).folder, Repository(tmp_path / "none").names):
        with pytest.raises(UserError, match="no git repository"):
            ask(soon())


def test_work_trees_have_one_repository(tmp_path: Path) -> None:
    real(tmp_path / "r", line(3))
    git(tmp_path / "r", "worktree", "add", "-q", "../other", "c1")
    (tmp_path / "link").symlink_to("r")
    git(tmp_path, "clone", "-q", "--bare", "r", "bare")
    folder = Repository(tmp_path / "r").folder(soon())
    assert folder == tmp_path / "r/.git"
    assert Repository(tmp_path / "other").folder(soon()) == folder
    assert Repository(tmp_path / "link").folder(soon()) == folder
    assert Repository(tmp_path / "bare").folder(soon()) == tmp_path / "bare"


def test_the_caller_s_own_git_variables_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = real(tmp_path / "r", line(2))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert Repository(tmp_path / "r").commit("main", soon()).id == ids[1]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_history_is_as_the_fake_one_has_it(parents: Parents, data: st.DataObject) -> None:
    """The tests of the search have a repository in memory: it must answer as git does."""
    with tempfile.TemporaryDirectory() as folder:
        ids = real(Path(folder) / "r", parents)
        repository, fake = Repository(Path(folder) / "r"), History(parents)
        numbers = st.integers(0, len(parents) - 1)
        bad, *goods = (data.draw(numbers) for _ in range(3))

        def pick(found: list[str]) -> set[str]:
            return {ids[int(each, 16)] for each in found}

        good = [ids[each] for each in goods]
        fakes = [f"{each:x}" for each in goods]
        bases = fake.merge_bases(f"{bad:x}", fakes, soon())
        assert set(repository.merge_bases(ids[bad], good, soon())) == pick(bases)
        halving = fake.halving(f"{bad:x}", fakes, soon())
        answered = repository.halving(ids[bad], good, soon())
        assert set(answered) == pick(halving)
        assert answered[-1:] == ([ids[bad]] if halving else [])
        left = fake.ancestors(bad) - fake.ancestors(goods[0]) - fake.ancestors(goods[1])

        def split(name: str) -> int:
            weight = len(fake.ancestors(ids.index(name)) & left)
            return min(weight, len(left) - weight)

        assert [split(name) for name in answered] == sorted(map(split, answered), reverse=True)


def test_changes(tmp_path: Path) -> None:
    real(tmp_path / "r", line(2))
    repository = Repository(tmp_path / "r")
    (tmp_path / "r/state").rename(tmp_path / "r/moved\n\u00e9")
    (tmp_path / "r/link").symlink_to("state")
    (tmp_path / os.fsdecode(b"r/\xff")).write_text("x")
    git(tmp_path / "r", "add", "-A")
    git(tmp_path / "r", "commit", "-q", "-m", "two")
    old, new = (repository.tree_id(name, soon()) for name in ("c1", "HEAD"))
    found = repository.changes(old, new, soon())
    assert found is not None
    assert sorted(found, key=lambda each: os.fsencode(each.path)) == [
        Change("link", "000000", "120000"),
        Change("moved\n\u00e9", "000000", "100644"),
        Change("state", "100644", "000000"),
        Change(os.fsdecode(b"\xff"), "000000", "100644"),
    ]
    assert repository.changes(old, old, soon()) == []
    assert repository.changes("1" * 40, new, soon()) is None
