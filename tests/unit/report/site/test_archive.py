from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import a_history, a_result
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolkitError, UserError
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import history
from toolkit.report.site import archive


def read(*paths: Path, max_bytes: int = archive.MAX_BYTES) -> archive.Archive:
    return archive.read(paths, Deadline.after(30), max_bytes=max_bytes)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(statement)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return a_history.write(tmp_path / "one.sqlite", a_history.runs(10, 30))


def test_everything_is_read_in_the_order_of_time(one: Path) -> None:
    read_ = read(one)
    assert read_.results == 10 * 30
    assert [run.started for run in read_.runs] == sorted(run.started for run in read_.runs)
    first = read_.runs[0]
    assert (first.series, first.kernel, first.release) == (
        "iosignalfd/v4",
        "debian:6.12",
        "6.12.117",
    )
    assert first.command == "toolkit build-and-test --patch iosignalfd/v4 --kernel debian:6.12"
    assert [name for name, _, _ in first.stages] == ["fetch", "configure", "build", "boot", "test"]
    broken = read_.leaves[a_history.BROKEN]
    assert [outcome.run for outcome in broken] == list(range(10))
    assert Status.CRASH in {outcome.status for outcome in broken[5:]}
    assert {outcome.status for outcome in broken[:5]} == {Status.PASS}


def test_a_copy_that_went_on_counts_no_run_twice(one: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    shutil.copy(one, other)
    a_history.write(one, a_history.runs(3, 30, seed=2), "/here")
    a_history.write(other, a_history.runs(2, 30, seed=3), "/there")
    merged = read(one, other, other)
    assert len(merged.runs) == 10 + 3 + 2
    assert merged.results == 15 * 30
    assert len(read(other, one).runs) == 15
    for outcomes in merged.leaves.values():
        assert [outcome.run for outcome in outcomes] == sorted({each.run for each in outcomes})


def test_runs_that_differ_in_anything_are_two(one: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    shutil.copy(one, other)
    change(other, "UPDATE run SET seconds = seconds + 0.001 WHERE id = 1")
    assert len(read(one, other).runs) == 11


def test_clocks_of_other_zones_are_compared_as_times(tmp_path: Path) -> None:
    path = tmp_path / "zones.sqlite"
    starts = ["2026-01-01T12:00:00+00:00", "2026-01-01T12:30:00+01:00", "2026-01-01T11:45:00"]
    a_history.write(path, [a_result.passed(started=started) for started in starts])
    times = [run.started % 86400 // 60 for run in read(path).runs]
    assert times == [11 * 60 + 30, 11 * 60 + 45, 12 * 60]


def test_the_oldest_runs_go_where_there_is_no_room(one: Path) -> None:
    room = read(one, max_bytes=6_000)
    assert 0 < len(room.runs) < 10
    assert room.left_out_runs == 10 - len(room.runs)
    assert room.runs[-1] == read(one).runs[-1]
    assert room.left_out_results == 0


def test_of_a_run_without_room_what_failed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "huge.sqlite"
    leaves = tuple(Leaf(f"s/p/{n}", Status.FAIL if n == 999 else Status.PASS) for n in range(1000))
    a_history.write(path, [a_result.passed(leaves=leaves)])
    read_ = read(path, max_bytes=9_000)
    assert "s/p/999" in read_.leaves
    assert 0 < read_.results < 1000
    assert read_.left_out_results == 1000 - read_.results


def test_reading_changes_nothing_and_leaves_nothing(one: Path) -> None:
    before = one.read_bytes(), sorted(one.parent.iterdir())
    read(one)
    assert (one.read_bytes(), sorted(one.parent.iterdir())) == before


def test_a_run_that_is_being_recorded_does_not_disturb(one: Path) -> None:
    with contextlib.closing(sqlite3.connect(one)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM outcome")
        assert read(one).results == 300


def _text(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _schema(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE leaf", b"CREATE \xab\xacBLE leaf"))


def _torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)


def _statement(text: str) -> Callable[[Path], None]:
    return lambda path: change(path, text)


def _endless(path: Path) -> None:
    change(path, "ALTER TABLE outcome RENAME TO kept")
    change(
        path,
        "CREATE VIEW outcome AS WITH RECURSIVE n(run, leaf) AS (SELECT 1, 1 UNION ALL "
        "SELECT run, leaf + 1 FROM n) SELECT run, leaf, 'pass' AS status, 0.0 AS seconds FROM n",
    )


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "text": (_text, "file is not a database"),
    "torn": (_torn, "damaged|cannot be read"),
    "schema": (_schema, "cannot be read"),
    "empty": (_empty, "is no history"),
    "none": (lambda path: path.unlink(), "does not exist"),
    "newer": (_statement("PRAGMA user_version = 99"), "version 99"),
    "no table": (_statement("DROP TABLE stage"), "is no history"),
    "no column": (_statement("ALTER TABLE run DROP COLUMN series"), "cannot be read: no such col"),
    "endless view": (_endless, "is no history"),
    "status": (_statement("UPDATE outcome SET status = '<b>' WHERE run = 2"), "a result of run 2"),
    "seconds": (_statement("UPDATE outcome SET seconds = 'x'"), "'x' is no time"),
    "infinite": (_statement("UPDATE run SET seconds = 9e999"), "'inf' is no time"),
    "started": (_statement("UPDATE run SET started = 'today' WHERE id = 4"), "run 4: Invalid iso"),
    "verdict": (_statement("UPDATE run SET verdict = 'perhaps'"), "'perhaps' is not a valid"),
    "command": (_statement("UPDATE run SET command = '{}'"), "no list of words"),
    "nested": (_statement(f"UPDATE run SET command = '{'[' * 99999}'"), "is damaged: run 1"),
    "count": (_statement("UPDATE run SET bad = -1"), "'-1' is no count"),
    "blob": (_statement("UPDATE leaf SET name = x'00ff' WHERE id = 1"), "is no text"),
    "large": (
        _statement("UPDATE leaf SET name = zeroblob(2000000) WHERE id = 1"),
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_history_or_damaged_is_named(
    one: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(one)
    with pytest.raises(UserError, match=words) as caught:
        read(one)
    assert one.name in caught.value.what
    assert caught.value.hint


def test_the_fault_of_ones_own_history_is_the_hosts(one: Path) -> None:
    _text(one)
    with pytest.raises(InfrastructureError, match="one"):
        archive.read([one], Deadline.after(30), fault=InfrastructureError)


def test_reading_is_bounded_in_time(one: Path) -> None:
    late = dataclasses.replace(Deadline.after(0), at=0.0)
    big = a_history.write(one, a_history.runs(6, 6000))
    with pytest.raises(ToolkitError, match="interrupted"):
        archive.read([big], late)


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no file"):
        read(tmp_path)


def test_histories_without_a_run_are_named(one: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.sqlite"
    a_history.write(empty, a_history.runs(1, 1))
    change(empty, "DELETE FROM run")
    assert len(read(empty, one).runs) == 10
    with pytest.raises(UserError, match=r"no run has been recorded in .*empty\.sqlite"):
        read(empty)


def test_a_folder_that_cannot_be_written_to_is_read(one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    shutil.copy(one, folder)
    folder.chmod(0o555)
    try:
        assert len(read(folder / one.name).runs) == 10
    finally:
        folder.chmod(0o755)


def test_a_path_may_have_characters_of_an_address(one: Path) -> None:
    odd = one.with_name("a?b#c%41.sqlite")
    one.rename(odd)
    assert len(read(odd).runs) == 10


def test_a_newer_clock_does_not_hide_what_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "two.sqlite"
    history.record(path, a_result.passed(seconds=-5.0), Path("/runs/back"))
    assert read(path).runs[0].seconds == 0.0
