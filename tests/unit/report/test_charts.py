from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.report import charts
from toolkit.report.charts import Run

SVG = "{http://www.w3.org/2000/svg}"
RUNS = [Run("a", "pass", 1.0), Run("bb", "fail", 4.0, bad=True), Run("c", "skip", None)]


def test_bars_are_as_long_as_the_time() -> None:
    lines = list(charts.bars(RUNS, width=8))
    assert lines == [
        "a   pass       1.00 s  ██",
        "bb  fail       4.00 s  ████████",
        "c   skip            -",
    ]


def test_a_part_of_a_block_is_drawn() -> None:
    (_, line) = charts.bars([Run("a", "p", 8.0), Run("a", "p", 0.5)], width=8)
    assert line.endswith("  ▌")


def test_the_plot_has_a_point_for_each_run() -> None:
    root = ET.fromstring(charts.svg("stage build", RUNS))
    assert len(root.findall(f"{SVG}circle")) == 1
    assert len(root.findall(f"{SVG}path")) == 1
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert texts[0] == "stage build"
    assert "5 s" in texts  # the axis ends at a number that can be read
    (line,) = root.findall(f"{SVG}polyline")
    (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in line.get("points", "").split())
    assert x1 < x2
    assert y2 < y1  # more time is higher up


@pytest.mark.parametrize("runs", [[], [Run("a", "p", 0.0)], [Run("a", "p", None)]])
def test_little_to_plot_is_no_error(runs: list[Run]) -> None:
    ET.fromstring(charts.svg("t", runs))
    list(charts.bars(runs))


@given(st.text(), st.floats(0, 1e6))
def test_any_label_stays_a_label(label: str, seconds: float) -> None:
    root = ET.fromstring(charts.svg(label, [Run(label + a_result.HOSTILE, "p", seconds)]))
    assert root.findall(f"{SVG}script") == []
    (line,) = charts.bars([Run(label, "p", seconds)])
    assert "\n" not in line
