"""The table of `tox -e bench`: medians of ratios within a round, against their bars."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed_bars import BARS, Bar, picture, table

RATIO = Bar("one / (two, three)", "one", ("two", "three"), 0.5, "")
SAMPLES = {
    "warm": [1.0, 2.0, 9.0],
    "vng": [10.0, 10.0, 30.0],
    "beyond": [4.0, 5.0, 3.5],
    "memory": [99.0],
}


def test_a_ratio_is_taken_within_its_round() -> None:
    assert RATIO.values({"one": [1, 4], "two": [1, 6], "three": [1, 2]}) == [0.5, 0.5]


def test_what_was_not_measured_has_no_value() -> None:
    assert RATIO.values({"one": [1, 4], "two": [1, 6]}) == []


def test_rounds_that_do_not_match_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        RATIO.values({"one": [1, 4], "two": [1, 6], "three": [1]})


def test_the_table_says_which_bar_is_met() -> None:
    lines = table(SAMPLES)
    found = [line for line in lines if line.startswith(("| nothing", "| the same", "| memory of"))]
    assert found == [
        "| nothing changed: start to first test / vng to `uname -r` | 0.2 | 0.1 to 0.3 | 0.2 "
        "| met |",
        "| the same: time beyond the tests' own, shared among the cores | 4 s | 3.5 to 5 | 3 s "
        "| **missed** |",
        "| memory of the toolkit in a run | 99 MiB | once | 150 MiB | met |",
    ]
    assert not any("restore" in line for line in lines)
    assert "| vng | 10 s | 10 to 30 |" in lines


def test_the_picture_has_a_line_for_each_bar_that_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture(SAMPLES, tmp_path)
    drawn = (tmp_path / "speed.svg").read_text()
    assert drawn.count("<!-- ") >= 4
    assert all(bar.what in drawn for bar in BARS if bar.values(SAMPLES))
    assert "restore" not in drawn
