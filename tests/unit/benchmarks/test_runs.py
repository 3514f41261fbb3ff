"""What `benchmarks.speed` sees of a command from outside."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.runs import SERIES, VERDICT, edited_root, seconds_of, watch

PROJECT = Path(__file__).parents[3]
LINE = re.compile(rb"^ready", re.MULTILINE)


def test_a_line_comes_before_the_end() -> None:
    seen = watch(["sh", "-c", "echo ready >&2; sleep 0.3; echo done"], LINE)
    assert 0 < seen.first < seen.total - 0.2
    assert seen.peak > 0


def test_a_command_is_interrupted_at_its_line() -> None:
    seen = watch(["sh", "-c", "trap 'exit 130' INT; echo ready; sleep 30 & wait"], LINE, stop=True)
    assert seen.total < 20  # and what it left running is not waited for


@pytest.mark.parametrize("script", ["echo other", "echo ready; exit 3"])
def test_a_command_that_fails_or_never_prints_the_line_ends_the_program(script: str) -> None:
    with pytest.raises(SystemExit, match=r"ended with [03]"):
        watch(["sh", "-c", script], LINE)


def test_python_may_keep_what_it_has_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    script = "import sys; print('kept' if not sys.dont_write_bytecode else 'lost')"
    command = [sys.executable, "-c", script]
    assert seconds_of(command, prints="kept")
    assert watch(command, re.compile(b"kept")).first


def test_a_command_may_fail_if_it_prints_what_it_should() -> None:
    assert seconds_of(["sh", "-c", "echo 6.12; exit 1"], prints="6.12") > 0
    with pytest.raises(SystemExit, match="failed"):
        seconds_of(["false"])


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (b"PASS    kvm/args_test/case (0.1 s)", True),
        (b"XFAIL   kvm/args_test/case (0.1 s): known", True),
        (b"test ...", False),
        (b"PASS: iosignalfd/v4 on 6.12.117", False),
        (b"build: found in the cache, 0.10 s: Linux 6.12.117", False),
    ],
)
def test_the_first_verdict_of_a_program_is_told_from_other_lines(line: bytes, seen: bool) -> None:
    assert bool(VERDICT.search(b"test ...\n" + line + b"\n")) == seen


def test_an_edit_changes_the_series_and_no_more(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in (7, 8):
        assert edited_root(root, PROJECT, number) == root
        changed = [
            path
            for path in (root / "patches").rglob("*.patch")
            if path.read_bytes() != (PROJECT / path.relative_to(root)).read_bytes()
        ]
        assert changed
        assert all(f"patches/{SERIES}/" in str(path) for path in changed)
        assert all(f"sizeof(*p) + {number}," in path.read_text() for path in changed)
    assert (root / "kselftests").resolve() == PROJECT / "kselftests"
