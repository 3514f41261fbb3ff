"""Outcomes of jobs with the run folders that they leave."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

from tests import a_result
from tests.unit.matrix.fake_pool import outcome
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.matrix import outcome as outcomes
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.outcome import Outcome
from toolkit.report import artifacts


def result(*leaves: Leaf, series: str = "v4", release: str = "6.12.1") -> RunResult:
    """Return the result of a run with these leaves."""
    bad = any(leaf.status.bad for leaf in leaves)
    return replace(
        a_result.PASSED,
        verdict=Verdict.FAIL if bad else Verdict.PASS,
        exit_code=int(bad),
        series=series,
        release=release,
        leaves=leaves,
        stages=(),
        seconds=2.0,
    )


def leaf(name: str, status: Status = Status.PASS, message: str = "") -> Leaf:
    return Leaf(name, status, message, 0.5)


@functools.cache
def packed(its: RunResult, log: str = "") -> bytes:
    """Return the run folder of a result, with what a program wrote."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / artifacts.RESULT).write_bytes(artifacts.to_json(its))
        if log:
            (folder / "tests/kvm").mkdir(parents=True)
            (folder / f"tests/kvm/{log}.log").write_text(log)
        return outcomes.pack(folder)


def ended(job: Job, its: RunResult, log: str = "", worker: str = "one") -> Outcome:
    """Return how a job ended that left a result."""
    return replace(outcome(job, its.exit_code, worker), archive=packed(its, log))


def by_series(bad: dict[str, tuple[Leaf, ...]]) -> object:
    """Return a play in which tests pass but for the leaves of some series, by its name."""

    def play(job: Job, worker: str, _: int) -> Outcome:
        if job.kind not in (Kind.TEST, Kind.WHOLE):
            return outcome(job, 0, worker)
        series = job.title.split()[1]
        programs = [word for name, word in zip(job.words, job.words[1:], strict=False)
                    if name == "--test"] or ["a_test"]  # fmt: skip
        leaves = [leaf(f"kvm/{name}/case") for name in programs]
        if job.number in (0, 1):
            leaves += bad.get(series, ())
        return ended(job, result(*leaves, series=series), programs[0], worker)

    return play
