"""What becomes of a run whose tests ran too little of the series."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests import a_result
from tests.unit.fake_tree import make_base
from tests.unit.fake_tree import series as fake_series
from toolkit.core import paths
from toolkit.core.errors import BuildError, ToolMissingError
from toolkit.core.model.coverage import Coverage
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Explained, PatchedTree
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Silent
from toolkit.kernel import gcov_build
from toolkit.kernel.gcov_build import Profiled
from toolkit.report import artifacts, history
from toolkit.testing import coverage
from toolkit.testing.coverage import Measured
from toolkit.workflow import pipeline, stage_work
from toolkit.workflow.reached import Findings, Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

PROJECT = Path(__file__).parents[3]
STALE = Explained("virt/kvm/a.c", "no more", line="return 0;")


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, text: str) -> None:
        self.said.append(text)


def finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, **asked: Any
) -> tuple[Any, list[str]]:
    """Return the result of a run with one leaf, and what it said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    measured = Measured(dataclasses.replace(a_result.COVERAGE, wanted=None), (STALE,))
    monkeypatch.setattr(coverage, "measure", lambda *_, **__: measured)
    profiled = Profiled(tmp_path, "/src", "/out", ())
    monkeypatch.setattr(gcov_build, "load", lambda _: profiled)
    listener = Listener()
    base, whole = make_base(tmp_path / "tree"), fake_series()
    kernel = KernelBuild(
        tmp_path, "key", "6.12.1", tmp_path, "digest", None, tmp_path, tmp_path / "config"
    )
    reached = Reached(
        base=base,
        series=whole,
        tree=PatchedTree(base, whole, {}, "key"),
        kernel=kernel,
        built_suites=(),
    )
    request = Request(patch="v4", **asked)
    run = Run(request, paths.resolve(PROJECT), tmp_path, listener, reached=reached)
    findings = Findings((Leaf("kvm/a/b", status),))
    return pipeline.build_and_test(run, lambda run: run.record(findings)), listener.said


def test_too_little_fails_a_run_that_else_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, said = finish(
        tmp_path, monkeypatch, Status.PASS, coverage=True, coverage_fail_under=95.0
    )
    assert (result.verdict, result.exit_code) == (Verdict.FAIL, 1)
    assert result.message == (
        "the tests ran 90.4 % of the 21 lines that the series adds, and 95 % were asked for"
    )
    assert isinstance(result.coverage, Coverage)
    assert result.stages[-1].name == "coverage"
    assert any("return 0;: no line that did not run needs" in line for line in said)


@pytest.mark.parametrize("least", [None, 90.0])
def test_enough_is_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float | None
) -> None:
    result, _ = finish(tmp_path, monkeypatch, Status.PASS, coverage=True, coverage_fail_under=least)
    assert (result.verdict, result.exit_code, result.message) == (Verdict.PASS, 0, "")


def test_a_failure_is_not_told_as_one_of_coverage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = finish(tmp_path, monkeypatch, Status.FAIL, coverage=True, coverage_fail_under=95.0)
    assert (result.verdict, result.message) == (Verdict.FAIL, "")


def test_nobody_measures_what_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, said = finish(tmp_path, monkeypatch, Status.PASS)
    assert (result.coverage, said) == (None, [])


def test_some_programs_alone_say_nothing_of_explanations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, said = finish(tmp_path, monkeypatch, Status.PASS, coverage=True, tests=("a",))
    assert said == []


def test_no_run_passes_whose_reports_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts, "write", no_space)
    with pytest.raises(OSError, match="No space left"):
        finish(tmp_path, monkeypatch, Status.PASS)


def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> RunResult:
    """Return the result that a build leaves which ends in ``error``."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def fetch(*_: object) -> object:
        raise error

    monkeypatch.setattr(stage_work, "fetch", fetch)
    run = Run(Request(patch="v4"), paths.resolve(PROJECT), tmp_path, Silent())
    with pytest.raises(type(error)):
        pipeline.build(run)
    return artifacts.read_result(tmp_path)


def test_a_build_that_breaks_leaves_the_reports_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = BuildError("the kernel does not build", detail=["a.c:1:2: error: expected ';'"])
    result = built(tmp_path, monkeypatch, error)
    assert (result.verdict, result.exit_code) == (Verdict.BUILD_BREAK, 1)
    assert "expected ';'" in (tmp_path / artifacts.JUNIT).read_text()
    assert "does not build" in (tmp_path / artifacts.SUMMARY).read_text()
    (entry,) = history.runs(tmp_path / "state/kernel-toolkit/history.sqlite", limit=9)
    assert entry.verdict is Verdict.BUILD_BREAK


def test_a_build_that_the_host_fails_says_so_in_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = built(tmp_path, monkeypatch, ToolMissingError("make"))
    assert (result.verdict, result.exit_code) == (Verdict.INFRASTRUCTURE, 3)
