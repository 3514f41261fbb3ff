"""The benchmarks: no path of the series may grow, and the figures are exact."""

from __future__ import annotations

import pytest

from tests.vm.conftest import PROJECT, Toolkit
from toolkit.bench import baseline_file, samples

BASELINE = PROJECT / "benchmarks/iosignalfd-v4.json"
ROWS = tuple(
    f"iosignalfd-{bus}/{row}"
    for bus in ("pio", "mmio")
    for row in ("any/1", "any/1000", "match/1", "values/last")
)
TOLERANCE = 0.005


def test_no_path_of_the_series_has_grown(toolkit: Toolkit) -> None:
    words = [word for row in ROWS for word in ("--row", row)]
    ended = toolkit.run(
        *("bench doorbell", "--patch", "v4", "--clock", "insn", "--image", "minimal"),
        *("--runs", "1", "--rounds", "5", "--no-figure", *words),
    )
    assert ended.code == 0, str(ended)
    before, after = baseline_file.read(BASELINE), baseline_file.read(ended.folder)
    moves = samples.compare(before, after, ROWS)
    assert {move.name for move in moves} == {*ROWS}
    # Another configuration is a change to this project, and may well be what made a path grow.
    differs = [
        line for line in samples.differences(before, after) if not line.startswith("config:")
    ]
    if differs:
        pytest.skip(f"the baseline is of another kernel, compiler or QEMU: {'; '.join(differs)}")
    worse = [f"{move.name}: {move.change:+.2%}" for move in moves if move.regressed(TOLERANCE)]
    assert not worse


def test_a_suite_without_python_of_its_own_is_measured(toolkit: Toolkit) -> None:
    ended = toolkit.run(
        *("bench syscalls", "--patch", "v4", "--clock", "insn"),
        *("--runs", "2", "--rounds", "5", "--no-figure"),
    )
    assert ended.code == 0, str(ended)
    costs = samples.costs(baseline_file.read(ended.folder))
    assert list(costs) == [
        *("getppid", "read-zero", "open-close", "eventfd", "pipe", "pipe-round-trip"),
    ]
    # Two calls take longer than one, and two processes longer than one.
    assert costs["getppid"].value < costs["read-zero"].value < costs["pipe"].value
    assert costs["pipe"].value < costs["pipe-round-trip"].value
    assert all(cost.spread < 0.01 for cost in costs.values())
