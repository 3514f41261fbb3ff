"""Small benchmarks for tests, and what the doorbell suite says of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.bench import manifest
from toolkit.bench.samples import INSN, Benchmark, Row, Sample

SUITES = Path(__file__).parents[2] / "kselftests"
DOORBELL = manifest.load(SUITES, "doorbell")
RINGS, IDLE = 10, 4000


def sample(cost: float) -> Sample:
    """Return a batch of which a ring costs ``cost`` instructions, at two ticks each."""
    return Sample(RINGS, IDLE + round(2 * RINGS * cost), IDLE)


def row(name: str, runs: Sequence[Sequence[float]]) -> Row:
    return Row(
        name,
        tuple(tuple(sample(cost) for cost in run) for run in runs),
        tuple(0.5 for _ in runs),
    )


def benchmark(
    rows: Mapping[str, Sequence[Sequence[float]]],
    *,
    clock: str = INSN,
    skipped: Mapping[str, str] | None = None,
    release: str = "6.12.117",
) -> Benchmark:
    return Benchmark(
        clock=clock,
        where="guest",
        rows=tuple(row(name, runs) for name, runs in rows.items()),
        skipped=skipped or {},
        rate=2.0 if clock == INSN else 0.0,
        started="2026-11-22T22:00:00+00:00",
        seconds=12.5,
        toolkit="0",
        command=("toolkit", "bench", "doorbell"),
        series="iosignalfd/v5",
        release=release,
        accelerator="tcg",
    )
