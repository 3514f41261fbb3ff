from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from tests.a_terminal import HOSTILE, Terminal, shown
from toolkit.core.model.result import StageRecord
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Observer
from toolkit.report import terminal

pytestmark = pytest.mark.usefixtures("xterm")


def drive(observer: Observer) -> None:
    observer.notice("accelerator: tcg")
    observer.stage_started("build")
    for done in range(101):
        observer.stage_progress("build", done, 100, "a.o")
    observer.stage_finished(StageRecord("build", 4.2, True, "debian:6.12"))
    observer.test_finished(Leaf("kvm/a/b", Status.FAIL, "wanted 1\nmore", 0.5))


def test_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with terminal.open_display(stream) as observer:
        drive(observer)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["accelerator: tcg", "build ..."]
    assert lines[2:11] == [f"build: {done}/100 a.o" for done in range(10, 100, 10)]
    assert lines[11:] == [
        "build: found in the cache, 4.20 s: debian:6.12",
        "FAIL    kvm/a/b (0.50 s): wanted 1",
    ]


@pytest.mark.parametrize(("name", "value"), [("CI", "1"), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_lines_on_request(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    with terminal.open_display(stream) as observer:
        drive(observer)
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_terminal_gets_the_same_and_its_cursor_back() -> None:
    stream = Terminal()
    with terminal.open_display(stream) as observer:
        drive(observer)
        text = stream.getvalue()
        assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the foot outlives its stages"
    lines = shown(stream).splitlines()
    assert lines[0] == "accelerator: tcg"
    assert "build: found in the cache, 4.20 s: debian:6.12\n" in shown(stream)
    assert lines[-1] == "FAIL    kvm/a/b (0.50 s): wanted 1"


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_stage_that_an_error_ends_is_shown_as_stopped(kind: Callable[[], io.StringIO]) -> None:
    stream = kind()
    with pytest.raises(KeyboardInterrupt), terminal.open_display(stream) as observer:
        observer.stage_started("build")
        observer.stage_progress("fetch", 5, None)
        raise KeyboardInterrupt
    assert "build: stopped, 0.0" in shown(stream)
    if kind is Terminal:
        assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l")


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_stage_that_failed_does_not_stay_while_others_go_on(
    kind: Callable[[], io.StringIO],
) -> None:
    stream = kind()
    with terminal.open_display(stream) as observer:
        observer.stage_started("patch-2: build")
        observer.stage_failed("patch-2: build")
        text = stream.getvalue()
        assert "patch-2: build: stopped, 0.0" in shown(stream)
        assert text.rfind("\x1b[?25h") >= text.rfind("\x1b[?25l")
        observer.stage_failed("never begun")
        observer.stage_started("patch-3: build")
        observer.stage_finished(StageRecord("patch-3: build", 1.0))
    assert shown(stream).count("stopped") == 1


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_text_from_outside_is_obeyed(kind: Callable[[], io.StringIO]) -> None:
    stream = kind()
    leaf = Leaf(HOSTILE, Status.FAIL, HOSTILE, known=HOSTILE)
    with terminal.open_display(stream) as observer:
        observer.notice(HOSTILE)
        observer.stage_started(HOSTILE)
        observer.stage_progress(HOSTILE, 1, 2, HOSTILE)
        observer.stage_finished(StageRecord(HOSTILE, 1.0, False, HOSTILE))
        observer.test_finished(leaf)
    text = shown(stream)
    assert not set(text) & set("\x1b\x07\u202e")
    assert "[red]\\x1b[2J\\x1b]0;owned\\x07[/nothing]" in text


def test_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with terminal.open_display(stream) as observer:
        observer.test_finished(Leaf("kvm/café", Status.PASS))
    assert b"kvm/caf\\xe9" in raw.getvalue()
