from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import a_history, a_result
from toolkit.cli import main
from toolkit.report import artifacts, history


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "kernel-toolkit"


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command as a shell does, and return its exit code."""
    monkeypatch.setattr("sys.argv", ["toolkit", "site", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_the_page_is_written_and_named(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = state / "runs/one"
    run.mkdir(parents=True)
    artifacts.write(run, a_result.failed())
    history.record(state / "history.sqlite", a_result.failed(), run)
    place = tmp_path / "site"
    assert call(monkeypatch, str(place), "--title", "Ours & theirs") == 0
    assert capsys.readouterr().out == f"{place / 'index.html'}\n"
    text = (place / "index.html").read_text()
    assert "<title>Ours &amp; theirs</title>" in text
    (report,) = (place / "reports").iterdir()
    assert report.read_bytes() == (run / "report.html").read_bytes()
    assert f"reports/{report.name}" in text


def test_histories_are_merged(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = a_history.write(tmp_path / "one.sqlite", a_history.runs(3, 6))
    other = tmp_path / "other.sqlite"
    shutil.copy(one, other)
    a_history.write(other, a_history.runs(2, 6, seed=9))
    words = [str(tmp_path / "site"), "--history", str(one), "--history", str(other)]
    assert call(monkeypatch, *words) == 0
    assert "30 results of 6 cases in 5 runs" in (tmp_path / "site/index.html").read_text()
    assert not state.exists()


BAD = {
    "none of one's own": (None, False, 2, "no run has been recorded yet"),
    "damaged own": (b"damaged" * 999, False, 3, "cannot be read: file is not a database"),
    "damaged": (b"damaged" * 999, True, 2, "cannot be read: file is not a database"),
    "none": (None, True, 2, "does not exist"),
    "empty": (b"", True, 2, "is no history of the toolkit"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_histories_have_a_word_and_a_code(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    content, named, code, words = BAD[what]
    path = state / "history.sqlite"
    state.mkdir()
    if content is not None:
        path.write_bytes(content)
    place = state / "site"
    assert call(monkeypatch, str(place), *(["--history", str(path)] if named else [])) == code
    assert words in capsys.readouterr().err
    assert not place.exists()


def test_a_full_disk_is_the_hosts_fault(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = a_history.write(tmp_path / "h.sqlite", a_history.runs(1, 2))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    assert call(monkeypatch, str(tmp_path / "site"), "--history", str(path)) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "site").iterdir()) == []


def test_a_folder_that_is_a_file_is_the_callers_fault(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = a_history.write(tmp_path / "h.sqlite", a_history.runs(1, 2))
    assert call(monkeypatch, str(path), "--history", str(path)) == 2
