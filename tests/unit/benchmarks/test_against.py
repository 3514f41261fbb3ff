"""`python -m benchmarks.speed --against`: two checkouts, in turns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import against
from benchmarks.against import Side

PROJECT = Path(__file__).parents[3]


def checkout(folder: Path) -> Path:
    """Return a checkout whose toolkit notes its words in ``calls`` and says that a test passed."""
    program = folder / ".venv/bin/toolkit"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\necho "{folder.name} $1 $2" >>{folder.parent}/calls\n'
        "echo 'PASS    kvm/args_test/case'\n"
    )
    program.chmod(0o755)
    for name in ("patches", "kselftests", "vm-images"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    ours = checkout(tmp_path / "ours")
    monkeypatch.setattr(sys, "executable", str(ours / ".venv/bin/python"))
    return against.sides(checkout(tmp_path / "theirs"), tmp_path / "work")


def test_both_sides_take_turns_and_the_first_round_does_not_count(
    pair: tuple[Side, Side], tmp_path: Path
) -> None:
    against.measure(pair, ["help", "list"], rounds=2)
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[0] for call in calls[4:8]] == ["ours", "theirs", "ours", "theirs"]
    assert [call[0] for call in calls[8:]] == ["theirs", "ours", "theirs", "ours"]
    assert [call[1] for call in calls[4:8]] == ["--help", "--help", "series", "series"]
    assert {name: len(values) for name, values in pair[1].samples.items()} == {"help": 2, "list": 2}


def test_every_probe_gives_its_row(pair: tuple[Side, Side]) -> None:
    against.measure(pair, [], rounds=1)
    assert set(against.PROBES) <= set(pair[0].samples)
    assert pair[0].samples.keys() == pair[1].samples.keys()


def test_what_only_this_toolkit_can_measure_is_skipped_with_a_word(
    pair: tuple[Side, Side], capsys: pytest.CaptureFixture[str]
) -> None:
    against.measure(pair, ["restore", "help"], rounds=1)
    assert "restore: not compared" in capsys.readouterr().err
    assert list(pair[0].samples) == ["help"]


def test_a_checkout_without_its_toolkit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="bootstrap"):
        against.sides(tmp_path, tmp_path / "work")


def test_ratios_are_taken_within_a_round() -> None:
    this = {"warm": [2.0, 3.0, 8.0], "memory": [50.0, 50.0, 50.0]}
    other = {"warm": [1.0, 3.0, 16.0], "memory": [100.0, 100.0, 100.0]}
    assert list(against.table(this, other))[2:] == [
        "| warm | 3 s | 3 s | 1.000 | 0.500 to 2.000 |",
        "| memory | 50 MiB | 100 MiB | 0.500 | 0.500 to 0.500 |",
    ]
