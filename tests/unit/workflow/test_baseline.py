"""A series beside its base, on kernels that only pretend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_kernels import Laboratory, patches
from toolkit.core.errors import BuildError, UserError
from toolkit.core.model.comparison import LeafClass
from toolkit.core.model.machine import Accelerator
from toolkit.core.model.result import Verdict
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import Status
from toolkit.core.observer import Silent
from toolkit.kernel.kbuild import Builder
from toolkit.testing import verdicts
from toolkit.workflow import baseline, pipeline, stage_work
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run


def leaf_classes(run: Run) -> dict[str, LeafClass]:
    comparison = run.findings.comparison
    assert comparison is not None
    return {
        point.id.removeprefix("kvm/"): point.leaf_class
        for point in comparison.leaves
        if point.leaf_class is not LeafClass.UNCHANGED
    }


def verdict(run: Run) -> Verdict:
    return verdicts.verdict(run.findings.leaves)[0]


def compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: tuple[str, ...], *words: str
) -> Run:
    run = Laboratory(tmp_path, monkeypatch, *base).run(patches(*words))
    baseline.test(run)
    return run


@pytest.mark.parametrize(
    ("base", "series", "leaf_class", "outcome"),
    [
        ((), "fail beta", {"a_test/beta": LeafClass.REGRESSION}, Verdict.FAIL),
        (("fail beta",), "comment", {"a_test/beta": LeafClass.PREEXISTING}, Verdict.PASS),
        (("fail beta",), "other beta", {"a_test/beta": LeafClass.PREEXISTING}, Verdict.PASS),
        (("skip beta",), "fail beta", {"a_test/beta": LeafClass.NEW_FAILURE}, Verdict.FAIL),
        ((), "skip beta", {"a_test/beta": LeafClass.MISSING}, Verdict.FAIL),
        ((), "gone beta", {"a_test/beta": LeafClass.MISSING}, Verdict.FAIL),
        (("gone beta",), "comment", {}, Verdict.PASS),
        (("skip beta",), "comment", {"a_test/beta": LeafClass.UNTESTABLE}, Verdict.PASS),
        ((), "warn b_test", {"b_test/dmesg": LeafClass.REGRESSION}, Verdict.FAIL),
        (("warn b_test",), "comment", {"b_test/dmesg": LeafClass.PREEXISTING}, Verdict.PASS),
        ((), "flaky delta", {"b_test/delta": LeafClass.REGRESSION}, Verdict.FAIL),
        (("flaky delta",), "comment", {"b_test/delta": LeafClass.PREEXISTING}, Verdict.PASS),
    ],
)
def test_each_class_and_what_it_makes_of_the_run(  # noqa: PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base: tuple[str, ...],
    series: str,
    leaf_class: dict[str, LeafClass],
    outcome: Verdict,
) -> None:
    run = compared(tmp_path, monkeypatch, base, series)
    assert leaf_classes(run) == leaf_class
    assert verdict(run) is outcome


def test_what_the_series_mends_is_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ("fail beta",)
    laboratory = Laboratory(tmp_path, monkeypatch, *base)
    run = laboratory.run(patches("fail beta > fine", base=base))
    baseline.test(run)
    assert leaf_classes(run) == {"a_test/beta": LeafClass.FIXED}
    assert verdict(run) is Verdict.PASS


def test_a_regression_has_its_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = compared(tmp_path, monkeypatch, (), "fail beta")
    assert run.findings.comparison is not None
    (point,) = (each for each in run.findings.comparison.leaves if each.leaf_class.bad)
    assert point.repeats is not None
    assert (point.repeats.before_seen, point.repeats.before_runs) == (0, 6)
    assert (point.repeats.after_seen, point.repeats.after_runs) == (6, 6)
    (leaf,) = (leaf for leaf in run.findings.leaves if leaf.status.bad)
    assert leaf.message.startswith("in 6 of 6 runs, before in 0 of 6 (p = 0.0011)\n")


def test_what_is_as_flaky_on_the_base_is_no_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A flaky word fails in the first run of five, and the base has had that one already.
    laboratory = Laboratory(tmp_path, monkeypatch, "flaky delta")
    run = laboratory.run(patches("comment"))
    base = baseline.sibling(run)
    laboratory.ran[base.kernel.key, "b_test"] = 1
    on_base = baseline.test_base(run, base)
    baseline.conclude(run, run.test(), base, on_base)
    assert leaf_classes(run) == {"b_test/delta": LeafClass.FLAKY}
    assert verdict(run) is Verdict.PASS
    (leaf,) = (leaf for leaf in run.findings.leaves if leaf.id.endswith("delta"))
    assert leaf.status is Status.XFAIL
    assert leaf.known.startswith("flaky: in ")


def test_more_runs_find_what_one_would_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    run = laboratory.run(patches("flaky delta"), repeat=10)
    baseline.test(run)
    assert leaf_classes(run) == {"b_test/delta": LeafClass.REGRESSION}
    (leaf,) = (leaf for leaf in run.findings.leaves if leaf.id.endswith("delta"))
    assert "fail in 2 of 10 runs" in leaf.message
    assert (run.folder / "tests/run-10/kvm/b_test.log").exists()


def test_a_known_failure_is_none_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    known = (KnownFailure("kvm/a_test/beta", "as posted"),)
    run = laboratory.run(replace(patches("fail beta"), known_failures=known))
    baseline.test(run)
    assert leaf_classes(run) == {"a_test/beta": LeafClass.KNOWN_FAILURE}
    assert verdict(run) is Verdict.PASS


@pytest.mark.parametrize(("base", "found"), [((), "regression"), (("fail beta",), "known failure")])
def test_what_is_merely_allowed_to_fail_may_not_where_the_base_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: tuple[str, ...], found: str
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch, *base)
    allowed = KnownFailure("kvm/a_test/beta", "not under emulation", certain=False)
    assert laboratory.suites
    laboratory.suites = tuple(replace(each, allowed=(allowed,)) for each in laboratory.suites)
    run = laboratory.run(patches(*(() if base else ("fail beta",)), "another kernel"))
    baseline.test(run)
    assert leaf_classes(run)["a_test/beta"].value == found
    assert verdict(run) is (Verdict.PASS if base else Verdict.FAIL)


def test_the_base_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    for word in ("comment", "loud"):
        baseline.test(laboratory.run(patches(word)))
    assert sum(laboratory.ran.values()) == 2 + 2 + 2  # the base, and each series


def test_a_second_run_into_one_folder_is_like_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    first, second = (laboratory.run(patches("fail alpha")) for _ in range(2))
    baseline.test(first)
    second.folder = first.folder
    baseline.test(second)
    statuses = [{leaf.id: leaf.status for leaf in run.findings.leaves} for run in (first, second)]
    assert statuses[0] == statuses[1]
    assert statuses[0]["kvm/a_test/alpha"] is Status.FAIL


def test_time_outs_are_learned_where_everything_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = compared(tmp_path, monkeypatch, ("skip beta",), "comment")
    (suite,) = run.built_suites
    assert {each.name: each.timeout for each in suite.programs} == {"a_test": 45.0, "b_test": 20.0}


@pytest.mark.parametrize(
    ("touched", "leaf_class", "outcome"),
    [(False, LeafClass.PREEXISTING, Verdict.PASS), (True, LeafClass.NEW_FAILURE, Verdict.FAIL)],
)
def test_a_test_that_does_not_build_is_the_series_fault_if_it_may_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    touched: bool,
    leaf_class: LeafClass,
    outcome: Verdict,
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    assert laboratory.suites
    (suite,) = laboratory.suites
    alpha, beta = suite.programs
    programs = (replace(alpha, unbuilt="no libcap"), beta)
    laboratory.suites = (replace(suite, programs=programs, touched=touched),)
    run = laboratory.run(patches("comment"))
    baseline.test(run)
    assert leaf_classes(run) == {"a_test": leaf_class}
    assert verdict(run) is outcome


def test_what_is_not_started_is_not_testable_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    entry = KnownFailure("kvm/a_test", "needs VMX", certain=False, start=False)
    assert laboratory.suites
    laboratory.suites = tuple(replace(suite, allowed=(entry,)) for suite in laboratory.suites)
    run = laboratory.run(patches("comment"))
    baseline.test(run)
    assert leaf_classes(run) == {"a_test": LeafClass.UNTESTABLE}
    assert {program for _, program in laboratory.ran} == {"b_test"}
    assert verdict(run) is Verdict.PASS


@pytest.mark.parametrize("word", ["broken", "noboot"])
def test_a_base_that_gives_nothing_is_the_callers_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch, word)
    with pytest.raises(UserError, match="gives no baseline"):
        baseline.test(laboratory.run(patches(f"{word} > fine", base=(word,))))


def test_a_series_that_does_not_build_costs_no_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    laboratory.suites = None
    run = laboratory.run(patches("broken"))
    with pytest.raises(BuildError):
        baseline.test(run)
    assert not laboratory.ran


def test_without_a_series_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="compared with a series"):
        baseline.test(Laboratory(tmp_path, monkeypatch).run(None))


# --- a build that is tested somewhere else ---------------------------------------------------


def elsewhere(run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch, **request: Any) -> Run:
    """Test a saved build where nothing can be built; return that run."""

    def build(*_: object) -> None:
        raise AssertionError("nothing is built here")

    def choose(*_: object, **__: object) -> tuple[tuple[Accelerator, str], bool, str]:
        return (Accelerator("tcg", "max", "because"), "7.2"), False, "tcg"

    monkeypatch.setattr(Builder, "build", build)
    monkeypatch.setattr(stage_work, "choose_accelerator", choose)
    folder = saved.parent / "elsewhere"
    folder.mkdir()
    asked = Request(patch=None, saved=saved, **request)
    other = Run(asked, run.paths, folder, Silent(), make_pool=run._make_pool)
    baseline.test(other)
    return other


def test_a_saved_build_with_its_base_is_compared_as_one_that_is_built_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch, "fail alpha")
    series = patches("fail beta")
    here = laboratory.run(series)
    baseline.test(here)
    building = laboratory.run(series, baseline=True)
    pipeline.build(building, tmp_path / "saved")
    moved = (tmp_path / "saved").rename(tmp_path / "moved")
    there = elsewhere(building, moved, monkeypatch, baseline=True)
    wanted = {"a_test/alpha": LeafClass.PREEXISTING, "a_test/beta": LeafClass.REGRESSION}
    assert leaf_classes(there) == leaf_classes(here) == wanted
    assert verdict(there) is Verdict.FAIL


def test_a_saved_build_without_its_base_has_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building = Laboratory(tmp_path, monkeypatch).run(patches("comment"))
    pipeline.build(building, tmp_path / "saved")
    with pytest.raises(UserError, match="holds nothing for --baseline") as caught:
        elsewhere(building, tmp_path / "saved", monkeypatch, baseline=True)
    assert "toolkit build --baseline --save DIR" in caught.value.hint
    (tmp_path / "elsewhere").rmdir()
    with pytest.raises(UserError, match="holds nothing for --coverage"):
        elsewhere(building, tmp_path / "saved", monkeypatch, coverage=True)


def test_what_there_is_no_series_for_has_no_base_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Laboratory(tmp_path, monkeypatch).run(None, baseline=True)
    with pytest.raises(UserError, match="compared with a series"):
        pipeline.build(run, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    assert run.reached.kernel is None, "it is told before anything is built"
    broken = Laboratory(tmp_path / "2", monkeypatch, "broken").run(
        patches("broken > fine", base=("broken",)), baseline=True
    )
    with pytest.raises(UserError, match="the unpatched base gives no baseline"):
        pipeline.build(broken, tmp_path / "saved")
