from __future__ import annotations

import re
import signal
from pathlib import Path

import click
import pytest

from toolkit.cli import crash, main, open_run
from toolkit.core.errors import EXIT_INFRASTRUCTURE, InternalError, UserError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / "state"


def test_an_unexpected_error_leaves_its_traceback_in_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InternalError) as caught, crash.described(tmp_path / "run"):
        raise KeyError("nobody\nthought of it")
    assert caught.value.exit_code == EXIT_INFRASTRUCTURE
    assert "an error of the toolkit itself, not of the kernel: KeyError" in caught.value.what
    assert caught.value.hint == f"its traceback is in {tmp_path}/run/traceback.txt"
    assert "raise KeyError" in (tmp_path / "run/traceback.txt").read_text()


def test_where_that_cannot_be_written_another_folder_gets_it(tmp_path: Path, state: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        with pytest.raises(InternalError) as caught, crash.described(folder):
            raise RecursionError
        (path,) = re.findall(r"\S+$", caught.value.hint)
        assert Path(path).parent == state / "kernel-toolkit/errors"
        assert "RecursionError" in Path(path).read_text()


@pytest.mark.parametrize(
    "error", [UserError("no"), FileExistsError("file"), click.UsageError("no"), click.Abort()]
)
def test_what_has_words_of_its_own_is_left_alone(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, crash.described():
        raise error
    assert caught.value is error


def test_the_command_line_exits_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> Path:
        raise ZeroDivisionError

    monkeypatch.setattr(open_run, "_request", broken)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["toolkit", "fetch", "--kernel", f"tree:{tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == EXIT_INFRASTRUCTURE
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "traceback is in" in shown
