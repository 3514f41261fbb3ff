from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import a_result
from tests.a_terminal import HOSTILE, Terminal, shown
from toolkit.core.model.coverage import HunkRun, LineRun
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import terminal_summary

pytestmark = pytest.mark.usefixtures("xterm")
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


def summarise(result: RunResult, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    terminal_summary.summary(result, RUN_DIR, stream)
    return shown(stream)


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
    assert text.count("+line") == terminal_summary.LIMITS["MAX_UNRUN"]
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


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_text_from_outside_is_obeyed(kind: Callable[[], io.StringIO]) -> None:
    leaf = Leaf(HOSTILE, Status.FAIL, HOSTILE, known=HOSTILE)
    splat = Splat("panic", HOSTILE, HOSTILE, True, 1)
    hostile = dataclasses.replace(
        RESULT,
        message=HOSTILE,
        series=HOSTILE,
        leaves=(leaf,),
        splats=(splat,),
        command=(HOSTILE,),
    )
    stream = kind()
    terminal_summary.summary(hostile, Path(HOSTILE), stream)
    text = shown(stream)
    assert not set(text) & set("\x1b\x07\u202e\x01")
    assert "[red]\\x1b[2J\\x1b]0;owned\\x07[/nothing]" in text


@pytest.mark.parametrize(("name", "value"), [("CI", "1"), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_lines_on_request(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    terminal_summary.summary(RESULT, RUN_DIR, stream)
    assert "\x1b" not in stream.getvalue()


def test_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    terminal_summary.summary(dataclasses.replace(RESULT, series="é"), RUN_DIR, stream)
    assert b"FAIL: \\xe9 on 6.12.1" in raw.getvalue()
