from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.report.site.test_page import a_run
from toolkit.core.errors import UserError
from toolkit.report.site import folder, page
from toolkit.report.site.archive import Run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Three runs, whose folders have a report."""
    made = []
    for number in range(3):
        place = tmp_path / f"run{number}"
        place.mkdir()
        (place / "result.json").write_text("{}")
        (place / "report.html").write_text(f"<!doctype html>report {number}")
        made.append(a_run(folder=place, started=100 + number))
    return made


def test_a_new_folder_is_made_and_an_old_page_replaced(tmp_path: Path) -> None:
    place = tmp_path / "a/b"
    folder.claim(place)
    content = f'<meta name="generator" content="{page.GENERATOR}">'.encode()
    assert folder.write(place, content) == place / "index.html"
    folder.claim(place)
    folder.write(place, content + b"again")
    assert [path.name for path in place.iterdir()] == ["index.html"]
    assert (place / "index.html").read_bytes().endswith(b"again")


def test_a_page_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My own</h1>")
    with pytest.raises(UserError, match="left alone") as caught:
        folder.claim(tmp_path)
    assert "name a new folder" in caught.value.hint


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "below"):
        with pytest.raises(UserError, match="cannot make the folder"):
            folder.claim(place)


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may everywhere
    with pytest.raises(UserError, match="cannot be written to") as caught:
        folder.claim(tmp_path)
    assert str(tmp_path) in caught.value.what


def test_the_newest_reports_are_copied(tmp_path: Path, runs: list[Run]) -> None:
    place = tmp_path / "site"
    place.mkdir()
    links = folder.copy_reports(place, runs, 2)
    assert sorted(links) == [1, 2]
    assert (place / links[2]).read_text() == "<!doctype html>report 2"
    assert folder.copy_reports(place, runs, 1) == {2: links[2]}
    assert [path.name for path in (place / "reports").iterdir()] == [Path(links[2]).name]
    (place / "reports/mine.html").touch()
    assert folder.copy_reports(place, runs, 0) == {}
    assert [path.name for path in (place / "reports").iterdir()] == ["mine.html"]


def test_what_is_no_report_of_a_run_is_not_copied(tmp_path: Path, runs: list[Run]) -> None:
    place = tmp_path / "site"
    place.mkdir()
    (runs[0].folder / "result.json").unlink()
    (runs[1].folder / "report.html").unlink()
    (runs[1].folder / "report.html").symlink_to("/etc/passwd")
    (runs[2].folder / "report.html").write_bytes(b"x" * (folder.MAX_REPORT + 1))
    gone = a_run(folder=tmp_path / "gone")
    odd = a_run(folder=Path("/proc/\x00"))
    assert folder.copy_reports(place, [*runs, gone, odd], 5) == {}
    assert list(place.iterdir()) == []


def test_reports_have_room_for_all_of_them_only(
    tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_REPORTS", 50)
    place = tmp_path / "site"
    place.mkdir()
    assert sorted(folder.copy_reports(place, runs, 3)) == [1, 2]
