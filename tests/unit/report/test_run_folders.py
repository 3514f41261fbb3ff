from __future__ import annotations

import os
import time
from pathlib import Path

from toolkit.core import paths
from toolkit.host import locks
from toolkit.report import run_folders

DAY = 86_400


def a_run(runs: Path, day: int, *, ago: float) -> Path:
    """Make the folder of a run that ended ``ago`` seconds before now."""
    folder = runs / f"202601{day:02}T120000Z-v4-abcd"
    (folder / "tests").mkdir(parents=True)
    (folder / "result.json").write_text("x" * 5000)
    for path in (folder / "tests", folder / "result.json", folder):
        os.utime(path, (time.time() - ago,) * 2)
    return folder


def names(runs: Path) -> list[str]:
    return sorted(path.name[6:8] for path in runs.iterdir())


def test_all_but_the_last_go_and_the_oldest_first(tmp_path: Path) -> None:
    for day in (3, 1, 2, 4):
        a_run(tmp_path, day, ago=(10 - day) * DAY)
    removed = list(run_folders.prune(tmp_path, keep=2))
    assert [each.path.name[6:8] for each in removed] == ["01", "02"]
    assert all(each.size >= 5000 for each in removed)
    assert names(tmp_path) == ["03", "04"]
    assert list(run_folders.prune(tmp_path, keep=2)) == []
    assert len(list(run_folders.prune(tmp_path, keep=0))) == 2
    assert names(tmp_path) == []


def test_those_that_changed_lately_stay_too(tmp_path: Path) -> None:
    a_run(tmp_path, 1, ago=5 * DAY)
    edited = a_run(tmp_path, 2, ago=5 * DAY)
    (edited / "report.html").write_text("later")
    a_run(tmp_path, 3, ago=2 * DAY)
    assert len(list(run_folders.prune(tmp_path, keep=0, newer_than=3 * DAY))) == 1
    assert names(tmp_path) == ["02", "03"]


def test_one_that_is_in_use_or_has_just_been_made_stays(tmp_path: Path) -> None:
    used = a_run(tmp_path, 1, ago=5 * DAY)
    a_run(tmp_path, 2, ago=0)
    with locks.in_use(used):
        assert list(run_folders.prune(tmp_path, keep=0)) == []
    assert len(list(run_folders.prune(tmp_path, keep=0))) == 1
    assert names(tmp_path) == ["02"]


def test_what_is_no_run_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "20260101T120000Z-file").write_text("x")
    elsewhere = a_run(tmp_path / "elsewhere", 1, ago=5 * DAY)
    (tmp_path / "20260101T120000Z-link").symlink_to(elsewhere)
    assert list(run_folders.prune(tmp_path, keep=0)) == []
    assert list(run_folders.prune(tmp_path / "absent", keep=0)) == []
    assert elsewhere.is_dir()


def test_the_folders_that_runs_make_are_known(tmp_path: Path) -> None:
    made = paths.new_run_dir(tmp_path, "debian:6.12")
    assert [each.path for each in run_folders.recorded(tmp_path)] == [made]
