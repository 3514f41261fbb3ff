"""What the soak calls wrong; its runs are processes that do nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.core.paths import APP
from tools import marked
from tools.soak import EXPECTED, Ongoing, Soak


@pytest.fixture
def made(tmp_path: Path) -> Soak:
    return Soak(tmp_path, random.Random(1), tmp_path / "cache")


def ended(made: Soak, code: int = 0, **result: object) -> Ongoing:
    """Return a run that has ended, and left such a result if any is given."""
    folder = made.home / "runs/1"
    folder.mkdir(parents=True)
    (made.home / "log").write_text("toolkit: its words\n")
    if result:
        (folder / "result.json").write_text(json.dumps(result))
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    return Ongoing(process, folder, "no such mark", made.home / "log", made.random)


def leaves(**other: str) -> list[dict[str, str]]:
    return [{"id": name, "status": status} for name, status in {**EXPECTED, **other}.items()]


def test_a_pass_with_all_its_results_is_right(made: Soak) -> None:
    made.judge("x", ended(made, leaves=leaves(), exit_code=0), 0, (0, 3))
    assert made.wrong == []


@pytest.mark.parametrize(
    ("code", "result", "words"),
    [
        (1, {"leaves": [], "exit_code": 1}, "exit code 1"),
        (0, {}, "without a result"),
        (0, {"leaves": [], "exit_code": 0}, "a pass with the results"),
        (3, {"leaves": [], "exit_code": 0}, "and 0 in the result"),
    ],
)
def test_what_is_wrong(
    made: Soak,
    code: int,
    result: dict[str, object],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made.judge("x", ended(made, code, **result), code, (0, 3))
    assert words in made.wrong[0]
    assert "toolkit: its words" in capsys.readouterr().out


def test_a_run_that_was_killed_may_have_half_a_result(made: Soak) -> None:
    run = ended(made)
    (run.folder / "result.json").write_text('{"leaves"')
    made.judge("x", run, -9, (0, -9))
    assert made.wrong == []
    made.judge("x", run, 0, (0, -9))
    assert "cut off" in made.wrong[0]


def test_an_orphan_is_found_and_ended(made: Soak) -> None:
    run = ended(made)
    run.mark = "the mark of an orphan"
    orphan = subprocess.Popen(["sleep", "60"], env={marked.MARK: run.mark})
    made.finish(run)
    assert "left 1 processes" in made.wrong[0]
    assert orphan.wait(10) == -9


def test_damage_changes_one_byte(made: Soak) -> None:
    entry = made.cache / APP / "image/key"
    entry.mkdir(parents=True)
    (entry / "initrd").write_bytes(bytes(1000))
    made.damage()
    content = (entry / "initrd").read_bytes()
    assert len(content) == 1000
    assert content.count(0) == 999


def test_what_prune_may_leave(made: Soak) -> None:
    folder = made.cache / APP / "image"
    folder.mkdir(parents=True)
    (folder / "key.lock").touch()
    assert list(made.left()) == []
    (folder / ".key.abcd").mkdir()
    (folder / ".key.abcd/initrd").write_text("x")
    assert [path.name for path in made.left()] == ["initrd"]
