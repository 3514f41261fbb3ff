from __future__ import annotations

import io
import threading
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


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watch(display: terminal._Plain, clock: Clock, seconds: int) -> None:
    """Let time pass, and the display be looked after as its thread does."""
    for _ in range(seconds):
        clock.now += 1
        display.sign_of_life()


@pytest.mark.parametrize("name", ["fetch", "build", "image", "snapshot", "test", "base: build"])
def test_a_stage_shows_a_sign_of_life_at_least_every_30_s(name: str) -> None:
    stream, clock = io.StringIO(), Clock()
    display = terminal._Plain(stream, clock)
    watch(display, clock, 100)
    assert stream.getvalue() == ""  # nothing runs
    display.stage_started(name)
    watch(display, clock, 59)
    display.stage_progress(name, 512, None, "CC kernel/fork.o")  # how many there are is not known
    watch(display, clock, 60)
    display.stage_progress(name, 6, 10, "a.o")
    watch(display, clock, 29)
    display.stage_finished(StageRecord(name, 148.0))
    watch(display, clock, 100)
    assert stream.getvalue().splitlines() == [
        f"{name} ...",
        f"{name}: running, 25.0 s so far",
        f"{name}: running, 50.0 s so far",
        f"{name}: 512 CC kernel/fork.o, 1 min 15 s so far",
        f"{name}: 512 CC kernel/fork.o, 1 min 40 s so far",
        f"{name}: 6/10 a.o",
        f"{name}: 6/10 a.o, 2 min 24 s so far",
        f"{name}: done, 2 min 28 s",
    ]


def test_who_waits_says_for_whom_and_shows_a_sign_of_life() -> None:
    stream, clock = io.StringIO(), Clock()
    display = terminal._Plain(stream, clock)
    display.stage_started("build")
    display.waiting("the build of v4", "pid 7 since 14:02:11 (toolkit fetch)")
    watch(display, clock, 60)
    display.waiting("the build of v4", "")
    watch(display, clock, 20)
    assert stream.getvalue().splitlines() == [
        "build ...",
        "waiting for the build of v4, held by pid 7 since 14:02:11 (toolkit fetch)",
        "waiting for the build of v4, held by pid 7 since 14:02:11 (toolkit fetch): 25.0 s",
        "waiting for the build of v4, held by pid 7 since 14:02:11 (toolkit fetch): 50.0 s",
        "build: running, 1 min 15 s so far",
    ]


def test_whatever_is_written_is_a_sign_of_life_for_all_that_runs() -> None:
    stream, clock = io.StringIO(), Clock()
    display = terminal._Plain(stream, clock)
    display.stage_started("snapshot")
    display.stage_started("test")
    for _ in range(10):
        watch(display, clock, 20)
        display.test_finished(Leaf("kvm/a/b", Status.PASS))
    assert "so far" not in stream.getvalue()
    watch(display, clock, 25)
    assert stream.getvalue().splitlines()[-2:] == [
        "snapshot: running, 3 min 45 s so far",
        "test: running, 3 min 45 s so far",
    ]


def test_a_thread_looks_after_a_display_until_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_TICK", 0.001)
    monkeypatch.setattr(terminal, "_QUIET", 0.0)
    alive = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "so far" in text:
                alive.set()
            return super().write(text)

    stream = Stream()
    with terminal.open_display(stream) as observer:
        observer.stage_started("build")
        assert alive.wait(20)
    assert "signs of life" not in {thread.name for thread in threading.enumerate()}


def test_a_terminal_hears_of_a_wait() -> None:
    stream = Terminal()
    with terminal.open_display(stream) as observer:
        observer.waiting("the build of v4", "pid 7")
        observer.waiting("the build of v4", "")
    assert shown(stream).splitlines() == ["waiting for the build of v4, held by pid 7"]
