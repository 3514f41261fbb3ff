from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.coverage import HunkRun, LineRun
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Observer
from toolkit.report import terminal

EVIL = "[red]\x1b[2J\x1b]0;owned\x07[/nothing]\u202e\r\n"
RUN_DIR = Path("/var/runs/one")
RESULT = RunResult(
    verdict=Verdict.FAIL,
    exit_code=1,
    command=("toolkit", "build-and-test", "--patch", "a b"),
    started="2026-01-02T03:04:05+00:00",
    seconds=61.5,
    toolkit="0.1",
    series="iosignalfd/v4",
    release="6.12.1",
    accelerator="tcg",
    leaves=(
        Leaf("kvm/access/good", Status.PASS),
        Leaf("kvm/access/bad", Status.FAIL, "wanted 1\ngot 2"),
        Leaf("kvm/access/dmesg", Status.FAIL, "WARNING: at a.c:1"),
    ),
    splats=(
        Splat("warning", "WARNING: at a.c:1", "", False, 7),
        Splat("panic", "Kernel panic - not syncing", "", True, 99),
    ),
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def shown(stream: io.StringIO) -> str:
    """Return what a stream has, without the sequences that the display itself may write."""
    return re.sub(r"\x1b\[[0-9;?]*[mKAhl]|\r", "", stream.getvalue())


def drive(observer: Observer) -> None:
    observer.notice("accelerator: tcg")
    observer.stage_started("build")
    for done in range(101):
        observer.stage_progress("build", done, 100, "a.o")
    observer.stage_finished(StageRecord("build", 4.2, True, "debian:6.12"))
    observer.test_finished(Leaf("kvm/a/b", Status.FAIL, "wanted 1\nmore", 0.5))


def summarise(result: RunResult, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    terminal.summary(result, RUN_DIR, stream)
    return shown(stream)


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
    terminal.summary(RESULT, RUN_DIR, stream)
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
def test_stage_that_an_error_ends_is_told(kind: Callable[[], io.StringIO]) -> None:
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
def test_no_word_from_outside_is_obeyed(kind: Callable[[], io.StringIO]) -> None:
    stream = kind()
    leaf = Leaf(EVIL, Status.FAIL, EVIL, known=EVIL)
    with terminal.open_display(stream) as observer:
        observer.notice(EVIL)
        observer.stage_started(EVIL)
        observer.stage_progress(EVIL, 1, 2, EVIL)
        observer.stage_finished(StageRecord(EVIL, 1.0, False, EVIL))
        observer.test_finished(leaf)
    splat = Splat("panic", EVIL, EVIL, True, 1)
    evil = dataclasses.replace(
        RESULT, message=EVIL, series=EVIL, leaves=(leaf,), splats=(splat,), command=(EVIL,)
    )
    terminal.summary(evil, Path(EVIL), stream)
    text = shown(stream)
    assert not set(text) & set("\x1b\x07\u202e")
    assert "[red]\\x1b[2J\\x1b]0;owned\\x07[/nothing]" in text


def test_summary_says_the_verdict_first_and_the_command_last() -> None:
    assert summarise(RESULT).splitlines() == [
        "",
        "FAIL: iosignalfd/v4 on 6.12.1, TCG, 1 min 02 s",
        "  2 failed, 1 passed",
        "",
        "  FAIL kvm/access/bad",
        "    wanted 1",
        "    got 2",
        "",
        "  FAIL kvm/access/dmesg",
        "    WARNING: at a.c:1",
        "",
        "  KERNEL Kernel panic - not syncing",
        "    line 99 of the console",
        "",
        "run folder: /var/runs/one",
        "repeat it:  toolkit build-and-test --patch 'a b'",
    ]


def test_summary_shows_the_lines_that_nothing_ran_among_their_neighbours() -> None:
    lines = summarise(a_result.covered()).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("  coverage: 90.4 %"))
    assert [line.strip() for line in lines[at + 1 :][:5]] == [
        "100.0 %    12/12   patch 1: KVM: let devices on the I/O bus say whether they want a write",
        "77.7 %     7/9    patch 2: KVM: add iosignalfd",
        "not in this kernel: virt/kvm/iosignalfd_arm64.c",
        "without counters: kvm/iosignalfd_stress_test: the guest hung",
        "",
    ]
    assert "    patch 2, virt/kvm/iosignalfd.c" in lines
    assert "       3 +   if (!p)" in lines
    assert "       - +       return -ENOMEM;" in lines
    assert "         explained: the caller has looked already" in lines


def test_the_lines_that_nothing_ran_are_bounded() -> None:
    rows = tuple(LineRun(f"+line {number}", number) for number in range(1, 900))
    hunks = (HunkRun(1, "x.c", (LineRun("@@ -0,0 +1,899 @@"), *rows)),) * 3
    coverage = dataclasses.replace(a_result.COVERAGE, hunks=hunks)
    text = summarise(dataclasses.replace(a_result.covered(), coverage=coverage))
    assert text.count("+line") == terminal.MAX_UNRUN
    assert "… and more, all in report.html" in text


def test_summary_on_a_terminal_has_the_same_lines() -> None:
    wide = [line.rstrip() for line in summarise(RESULT, Terminal()).splitlines()]
    assert wide == summarise(RESULT).splitlines()


def test_summary_wraps_messages_but_not_what_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    leaf = Leaf("kvm/a/b", Status.FAIL, "word " * 30)
    command = ("toolkit", "build-and-test", "--patch", "x" * 60)
    result = dataclasses.replace(RESULT, leaves=(leaf,), splats=(), command=command)
    *lines, repeat = summarise(result, Terminal()).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert sum(line.startswith("    word") for line in lines) > 3
    assert repeat == f"repeat it:  {' '.join(command)}"


def test_summary_without_tests_says_why_they_were_skipped() -> None:
    leaves = tuple(Leaf(f"kvm/a/{at}", Status.SKIP, "no SVM") for at in range(3))
    text = summarise(dataclasses.replace(RESULT, verdict=Verdict.NO_TESTS, leaves=leaves))
    assert "NO-TESTS: " in text
    assert "that is not a pass" in text
    assert "3 skipped: no SVM" in text


def test_summary_of_a_broken_build_shows_its_message() -> None:
    broken = dataclasses.replace(
        RESULT, verdict=Verdict.BUILD_BREAK, leaves=(), splats=(), message="a.c:1: error"
    )
    assert "  a.c:1: error" in summarise(broken).splitlines()


def test_summary_is_bounded() -> None:
    leaves = tuple(Leaf(f"k/a/{at}", Status.FAIL, "line\n" * 500) for at in range(500))
    text = summarise(dataclasses.replace(RESULT, leaves=leaves))
    assert "and 450 more" in text
    assert len(text.splitlines()) < 1000


def test_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with terminal.open_display(stream) as observer:
        observer.test_finished(Leaf("kvm/café", Status.PASS))
    terminal.summary(dataclasses.replace(RESULT, series="é"), RUN_DIR, stream)
    assert b"kvm/caf\\xe9" in raw.getvalue()


@given(st.text())
def test_printable_is_one_harmless_line(text: str) -> None:
    line = terminal.printable(text)
    assert line.splitlines() in ([], [line])
    assert line.isprintable() or not line.isascii()
