"""Histories of runs that never were: what ``toolkit site`` is tried with."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests import a_result
from toolkit.core.model.provenance import Environment
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import history

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
PROGRAMS = ("args_test", "match_test", "deassign_test", "limit_test", "stress_test", "race_test")
FLAKY = "kvm/race_test/case_001"
BROKEN = "kvm/args_test/case_002"  # from the middle on, on the first series


def runs(count: int, cases: int, seed: int = 1) -> list[RunResult]:
    """Return runs of two series on two kernels, with a flaky case and one that broke half-way."""
    chance = random.Random(seed)
    return [_run(chance, number, count, cases) for number in range(count)]


def _run(chance: random.Random, number: int, count: int, cases: int) -> RunResult:
    series = ("iosignalfd/v4", "io-bus-order/v1")[number % 3 == 2]
    kernel, release = (("debian:6.12", "6.12.117"), ("debian:6.1", "6.1.170"))[number % 5 == 4]
    per_program = -(-cases // len(PROGRAMS))
    leaves = tuple(
        Leaf(
            (name := f"kvm/{program}/case_{case:03}"),
            _status(chance, name, number, count, series),
            seconds=round(0.01 + chance.random() * (1 + place) * 0.2, 3),
        )
        for place, program in enumerate(PROGRAMS)
        for case in range(per_program)
    )[:cases]
    bad = any(leaf.status.bad for leaf in leaves)
    stages = (
        StageRecord("fetch", 0.2, True),
        StageRecord("configure", 0.4, number % 4 > 0),
        StageRecord("build", 2.5 if number % 4 else 340 + chance.random() * 30, number % 4 > 0),
        StageRecord("boot", 4 + chance.random()),
        StageRecord("test", 20 + chance.random() * 9),
    )
    return a_result.passed(
        verdict=Verdict.FAIL if bad else Verdict.PASS,
        exit_code=int(bad),
        started=(START + timedelta(hours=7 * number)).isoformat(timespec="seconds"),
        seconds=round(30 + chance.random() * 30, 3),
        series=series,
        kernel=kernel,
        release=release,
        command=("toolkit", "build-and-test", "--patch", series, "--kernel", kernel),
        environment=dataclasses.replace(Environment(), build=build_of(series, kernel, number // 6)),
        stages=stages,
        leaves=leaves,
    )


def build_of(*parts: object) -> str:
    """Return the same build for the same parts, in every process."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _status(chance: random.Random, name: str, number: int, count: int, series: str) -> Status:
    if name == FLAKY:
        return Status.FAIL if chance.random() < 0.2 else Status.PASS
    if name == BROKEN and series == "iosignalfd/v4" and number >= count // 2:
        return Status.CRASH
    if name.endswith("case_003"):
        return Status.SKIP
    return Status.XFAIL if name.endswith("limit_test/case_004") else Status.PASS


def write(path: Path, results: list[RunResult], runs_folder: str = "/runs") -> Path:
    """Record runs in the history at ``path``, as the toolkit does."""
    for result in results:
        stamp = result.started[:19].replace("-", "").replace(":", "")
        history.record(path, result, Path(runs_folder, f"{stamp}Z-{result.series[-2:]}"))
    return path
