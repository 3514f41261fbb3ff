from __future__ import annotations

import io

import pytest

from tests.a_terminal import Terminal
from toolkit.report.matrix import display
from toolkit.report.matrix.display import Display, Progress

PROGRESS = Progress(12, {0: 3, 1: 1}, {"test": 2, "build": 1}, 4, {"build v4 on k": "host/0"}, 2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_on_a_pipe_there_are_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    shown = Display(stream, clock)
    shown.notice("folder: /x\nand more")
    shown.job_ended("build v4 on k", "host/0", 61.0, "")
    shown.job_ended("fetch k", "", 0.0, "the host failed (why), tried again")
    shown.cell_ended("v4 on k", 1, "FAIL: 1 failed\x1b[31m")
    shown.look(PROGRESS)
    clock.now = 26
    shown.look(PROGRESS)
    shown.look(PROGRESS)
    assert stream.getvalue().splitlines() == [
        "folder: /x",
        "and more",
        "build v4 on k on host/0: done, 1 min 01 s",
        "fetch k: the host failed (why), tried again, 0.00 s",
        "v4 on k: FAIL: 1 failed\\x1b[31m",
        "4 of 12 cells: 3 passed, 1 failed; 2 workers; waiting: 2 test, 1 build; 4 cells not "
        "built yet; running: build v4 on k",
    ]


def test_how_far_it_is_in_words() -> None:
    assert PROGRESS.counts == "4 of 12 cells: 3 passed, 1 failed"
    assert Progress(2, {}, {}, 0, {}, 1).counts == "0 of 2 cells"
    assert Progress(2, {}, {}, 0, {}, 1).queue == "1 worker"


def test_on_a_terminal_there_is_a_table_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with display.open_display(stream) as shown:
        shown.look(PROGRESS)
        assert "build v4 on k" in stream.getvalue()
        assert "host/0" in stream.getvalue()
        shown.cell_ended("v4 on k", 0, "PASS: 3 passed")
    assert "v4 on k: PASS: 3 passed" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h")
