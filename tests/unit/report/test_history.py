from __future__ import annotations

import contextlib
import dataclasses
import platform
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import a_result
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.model.result import StageRecord, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import history

PROJECT = Path(__file__).parents[3]
LEAF = "kvm/iosignalfd_args_test/case_03"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "state/history.sqlite"
    history.record(path, a_result.passed(), Path("/runs/one"))
    history.record(path, a_result.failed(), Path("/runs/two"))
    history.record(path, a_result.passed(series="other/v1"), Path("/runs/three"))
    return path


def test_runs_come_in_their_order(database: Path) -> None:
    entries = history.runs(database, limit=10)
    assert [str(entry.folder) for entry in entries] == ["/runs/one", "/runs/two", "/runs/three"]
    assert [(entry.verdict, entry.bad, entry.leaves) for entry in entries[:2]] == [
        (Verdict.PASS, 0, 60),
        (Verdict.FAIL, 3, 61),
    ]
    assert [str(entry.folder) for entry in history.runs(database, limit=1)] == ["/runs/three"]
    assert len(history.runs(database, limit=10, which=history.Which("iosignalfd/v4"))) == 2


def test_runs_of_another_architecture_are_told_apart(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    own = a_result.passed()
    for machine in ("aarch64", "x86_64", "riscv64"):
        environment = dataclasses.replace(own.environment, architecture=machine)
        result = dataclasses.replace(own, environment=environment)
        history.record(database, result, Path("/runs") / machine)

    def of(architecture: str | None) -> list[str]:
        which = history.Which("iosignalfd/v4", architecture)
        points = history.leaf_points(database, LEAF, limit=10, which=which)
        stages = history.stage_points(database, "build", limit=10, which=which)
        entries = history.runs(database, limit=10, which=which)
        names = [entry.folder.name for entry in entries]
        assert names == [point.folder.name for point in points]
        assert names == [point.folder.name for point in stages]
        return names

    assert of("arm64") == ["aarch64"]
    assert of("x86_64") == ["one", "two", "x86_64"]
    assert of("riscv64") == ["riscv64"]
    assert of(None) == ["one", "two", "aarch64", "x86_64", "riscv64"]
    releases = [entry.release for entry in history.runs(database, limit=10)]
    assert releases[-3:] == [f"{own.release} arm64", own.release, f"{own.release} riscv64"]


def test_a_leaf_is_followed_over_runs(database: Path) -> None:
    points = history.leaf_points(database, LEAF, limit=10)
    assert [(point.status, history.bad(point)) for point in points] == [
        ("pass", False),
        ("fail", True),
        ("pass", False),
    ]
    assert [point.series for point in points] == ["iosignalfd/v4", "iosignalfd/v4", "other/v1"]
    assert len(history.leaf_points(database, LEAF, limit=10, which=history.Which("other/v1"))) == 1


def test_a_program_takes_as_long_as_its_cases_did_when_it_last_ran(database: Path) -> None:
    def leaves(*seconds: float | None) -> tuple[Leaf, ...]:
        names = ("kvm/long_test/one", "kvm/long_test/two", "kvm/long_test0/one", "kvm/alone_test")
        pairs = zip(names, seconds, strict=False)
        return tuple(Leaf(name, Status.PASS, seconds=took) for name, took in pairs)

    names = ["kvm/long_test", "kvm/alone_test", "kvm/untimed_test", "kvm/never_test"]
    untimed = Leaf("kvm/untimed_test/one", Status.PASS)
    for found in (leaves(9, 9, 9, 4), (*leaves(1, 2, 50), untimed)):
        history.record(database, a_result.passed(leaves=found), Path("/runs/timed"))
    assert history.last_runs(database, names) == {
        "kvm/long_test": history.LastRun(3, bad=False),
        "kvm/alone_test": history.LastRun(4, bad=False),
        "kvm/untimed_test": history.LastRun(None, bad=False),
    }


def test_a_program_was_bad_if_one_of_its_cases_was_when_it_last_ran(database: Path) -> None:
    def record(*statuses: Status) -> None:
        leaves = tuple(Leaf(f"kvm/a_test/{i}", each) for i, each in enumerate(statuses))
        history.record(database, a_result.passed(leaves=leaves), Path("/runs/bad"))

    def bad() -> bool:
        return history.last_runs(database, ["kvm/a_test"])["kvm/a_test"].bad

    record(Status.PASS, Status.TIMEOUT, Status.SKIP)
    assert bad()
    record(Status.XFAIL, Status.PASS)  # and what was bad before that does not count
    assert not bad()


def test_a_stage_is_followed_over_runs(database: Path) -> None:
    stages = (StageRecord("build", 2.5, True), StageRecord("boot", 4.0))
    history.record(database, a_result.passed(stages=stages), Path("/runs/four"))
    points = history.stage_points(database, "build", limit=2)
    assert [(point.status, point.seconds) for point in points] == [("done", 347.3), ("found", 2.5)]
    assert set(history.stages(database)) >= {"build", "boot"}


def test_a_part_of_a_name_will_do(database: Path) -> None:
    assert history.find_leaf(database, LEAF) == LEAF
    assert history.find_leaf(database, "args_test/case_03") == LEAF
    with pytest.raises(UserError, match="fits several"):
        history.find_leaf(database, "args_test")
    with pytest.raises(UserError, match="no recorded run has"):
        history.find_leaf(database, "100%_")


def test_leaves_by_how_they_begin(database: Path) -> None:
    every = history.leaves(database, "")
    assert LEAF in every
    assert every == sorted(every)
    assert history.leaves(database, LEAF[:-1])[:1] == [min(x for x in every if x >= LEAF[:-1])]
    assert history.leaves(database, "%") == []


def test_without_a_database_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    assert history.runs(path, limit=1) == []
    assert history.leaves(path, "") == []
    assert history.stage_points(path, "build", limit=1) == []
    with pytest.raises(UserError, match="no run has been recorded"):
        history.find_leaf(path, "x")
    assert not path.exists()


def test_the_oldest_runs_go(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_RUNS", 2)
    leaves = (Leaf("new/one/x", Status.PASS),)
    history.record(database, a_result.passed(leaves=leaves), Path("/runs/four"))
    assert [entry.folder.name for entry in history.runs(database, limit=9)] == ["three", "four"]
    with sqlite3.connect(database) as db:
        assert db.execute("SELECT count(*) FROM outcome").fetchone() == (61,)
        assert db.execute("SELECT count(*) FROM leaf").fetchone() == (61,)
        stages = db.execute("SELECT count(DISTINCT run) FROM stage").fetchone()
        assert stages == (2,)


def test_many_cases_push_out_old_runs_but_never_the_newest(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_OUTCOMES", 100)
    history.record(database, a_result.huge(500), Path("/runs/huge"))
    assert [entry.folder.name for entry in history.runs(database, limit=9)] == ["huge"]
    history.record(database, a_result.broken(), Path("/runs/small"))
    assert [entry.folder.name for entry in history.runs(database, limit=9)] == ["small"]


def test_two_runs_at_once_both_land(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    code = (
        "import sys; from pathlib import Path; from tests import a_result; "
        "from toolkit.report import history\n"
        "for n in range(15): history.record(Path(sys.argv[1]), a_result.failed(), Path(f'/{n}'))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, path], cwd=PROJECT) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert len(history.runs(path, limit=100)) == 45
    assert len(history.leaf_points(path, LEAF, limit=100)) == 45


def test_who_comes_while_another_makes_the_database_waits(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.3, other.rollback).start()
        history.record(path, a_result.passed(), Path("/runs/one"))
    assert len(history.runs(path, limit=9)) == 1


def test_a_run_that_cannot_be_written_leaves_no_half_of_it(database: Path) -> None:
    bad = dataclasses.replace(a_result.passed(), seconds=None)  # type: ignore[arg-type]
    with pytest.raises(InfrastructureError, match="cannot be used"):
        history.record(database, bad, Path("/runs/bad"))
    assert len(history.runs(database, limit=9)) == 3


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(InfrastructureError, match="cannot be used") as caught:
        history.record(path, a_result.passed(), tmp_path)
    assert "move that file away" in caught.value.hint


def test_a_damaged_schema_is_named(database: Path) -> None:
    whole = database.read_bytes()
    database.write_bytes(whole.replace(b"CREATE TABLE leaf", b"CREATE \xab\xacBLE leaf"))
    with pytest.raises(InfrastructureError, match="cannot be used"):
        history.runs(database, limit=9)


@pytest.mark.parametrize(
    "change",
    ["run SET verdict = 'good'", "run SET folder = x'ff'", "run SET seconds = 'long'",
     "run SET bad = 'some'", "stage SET seconds = 'long'"],
)  # fmt: skip
def test_a_value_that_no_run_has_is_damage(database: Path, change: str) -> None:
    with sqlite3.connect(database) as db:
        db.execute(f"UPDATE {change}")
    with pytest.raises(InfrastructureError, match=r"history.sqlite is damaged") as caught:
        assert history.stage_points(database, "build", limit=9) and history.runs(database, limit=9)
    assert "move that file away" in caught.value.hint


def test_a_newer_file_is_left_alone(database: Path) -> None:
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InfrastructureError, match="version 99"):
        history.record(database, a_result.passed(), Path("/runs/x"))


def test_a_folder_whose_name_is_no_text_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    history.record(path, a_result.hostile(), Path("/runs/\udcff"))
    (entry,) = history.runs(path, limit=1)
    assert entry.folder.name == "\\xff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "20260101T000000Z-v3-aaaa",
        "20260102T000000Z-v4-bbbb",
        "20260103T000000Z-v4-cccc",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text("{}")
    (tmp_path / "20260104T000000Z-unfinished-dddd").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"), [("last", "v4-cccc"), ("v3", "v3-aaaa"), ("bbbb", "v4-bbbb")]
)
def test_a_run_is_found_by_what_sets_it_apart(folder: Path, name: str, found: str) -> None:
    assert history.locate(name, folder).name.endswith(found)


def test_a_path_needs_no_search(folder: Path, tmp_path: Path) -> None:
    run = folder / "20260101T000000Z-v3-aaaa"
    assert history.locate(str(run), tmp_path / "none") == run
    assert history.locate(str(run / "result.json"), tmp_path / "none") == run


@pytest.mark.parametrize(("name", "words"), [("v4", "one of several"), ("v9", "is no run")])
def test_other_names_are_refused_with_what_there_is(folder: Path, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        history.locate(name, folder)
    assert "v4-cccc" in caught.value.hint


def test_without_runs_there_is_no_last_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        history.locate("last", tmp_path)
