from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from toolkit.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command as a shell does, and return its exit code."""
    monkeypatch.setattr("sys.argv", ["toolkit", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_the_file_is_printed_with_the_command_that_wrote_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(Path(__file__).parents[3])
    assert call(monkeypatch, "--root", root, "ci", "github", "--patch", "v4", "--shards", "5") == 0
    text = capsys.readouterr().out
    assert text.startswith("# Written by: toolkit ci github --patch v4 --shards 5\n")
    assert yaml.safe_load(text)["jobs"]["test-v4"]["strategy"]["matrix"]["shard"][-1] == 5


def test_a_file_is_written_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / ".github/workflows/kernel.yml"
    assert call(monkeypatch, "ci", "github", "--patch", "v4", "--output", str(file)) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert "build-v4" in yaml.safe_load(file.read_text())["jobs"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--patch", "v99"], "v99"),
        ([], "Missing option '--patch'"),
        (["--patch", "v4", "--shards", "0"], "--shards"),
        (["--patch", "v4", "--image", "x" * 300], "File name too long"),
        (["--patch", "v4", "--output", "/proc/nowhere/file.yml"], "cannot write /proc/nowhere"),
    ],
)
def test_what_cannot_be_is_the_callers_fault(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    assert call(monkeypatch, "ci", "gitlab", *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "½/2", f"1/{9:099}{0:05000}"]
)
def test_a_shard_is_one_of_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shard: str
) -> None:
    assert call(monkeypatch, "build-and-test", "--patch", "v4", "--shard", shard) == 2
    assert "write 2/4 for the second of four" in capsys.readouterr().err
