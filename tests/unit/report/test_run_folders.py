from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.report import run_folders


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
    assert run_folders.locate(name, folder).name.endswith(found)


def test_a_path_needs_no_search(folder: Path, tmp_path: Path) -> None:
    run = folder / "20260101T000000Z-v3-aaaa"
    assert run_folders.locate(str(run), tmp_path / "none") == run
    assert run_folders.locate(str(run / "result.json"), tmp_path / "none") == run


@pytest.mark.parametrize(("name", "told"), [("v4", "one of several"), ("v9", "is no run")])
def test_other_names_are_refused_with_what_there_is(folder: Path, name: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        run_folders.locate(name, folder)
    assert "v4-cccc" in caught.value.hint


def test_without_runs_there_is_no_last_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        run_folders.locate("last", tmp_path)
