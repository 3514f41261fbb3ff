"""The doorbell benchmark: no path of the series may grow, and the figures are exact."""

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
