"""A command of the toolkit that waits for its words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.host import process
from toolkit.matrix import standby
from toolkit.matrix.standby import Standby

PROJECT = Path(__file__).parents[3]
ENOUGH = 60.0  # seconds


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Standby]:
    (tmp_path / "here").mkdir()
    # Elsewhere than in the checkout: a job's folder has no toolkit in it.
    env = {"PYTHONPATH": str(PROJECT), "TOOLKIT_ROOT": str(PROJECT)}
    it = standby.start((), tmp_path / "here", env)
    yield it
    it.end()


def ended(child: process.Child) -> int:
    assert process.wait(child, ENOUGH)
    return process.stop(child)


@pytest.mark.parametrize(
    "words", [("--version",), ("series", "list", "--nope"), ("build", "--patch", "no such")]
)
def test_it_does_what_the_command_line_does(
    waiting: Standby, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "job").mkdir()
    log = tmp_path / "job/output.log"
    state = {"XDG_STATE_HOME": str(tmp_path / "state"), "TOOLKIT_ROOT": str(PROJECT)}
    by_hand = subprocess.run(
        [sys.executable, "-m", "toolkit", *words],
        cwd=PROJECT,
        env={**os.environ, **state},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    child = waiting.become(words, log)
    assert child
    assert ended(child) == by_hand.returncode
    last = log.read_text().splitlines()[-1]
    assert last == by_hand.stdout.splitlines()[-1]


def test_without_any_words_it_ends_and_has_done_nothing(waiting: Standby, tmp_path: Path) -> None:
    assert waiting.child.stdin
    waiting.child.stdin.close()
    assert ended(waiting.child) == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_one_that_is_gone_is_none(waiting: Standby, tmp_path: Path) -> None:
    waiting.child.kill()
    assert process.wait(waiting.child, ENOUGH)
    assert waiting.become(("--version",), tmp_path / "output.log") is None
    assert not (tmp_path / "output.log").exists()
