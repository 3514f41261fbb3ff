"""A verdict is the same whatever the state of a cache: what a kernel says while it boots counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_kernels import Laboratory, Watcher, patches
from toolkit.core.model.comparison import LeafClass
from toolkit.core.model.result import Verdict
from toolkit.testing import verdicts
from toolkit.testing.result_cache import ResultCache
from toolkit.workflow import baseline, bisect_judge, per_patch, pipeline
from toolkit.workflow.run import Run

BOOT = "boot/dmesg"


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(tmp_path, monkeypatch)


def verdict(run: Run) -> Verdict:
    return verdicts.verdict(run.findings.leaves)[0]


def leaf_class(run: Run) -> LeafClass | None:
    assert run.findings.comparison is not None
    leaves = run.findings.comparison.leaves
    return next((each.leaf_class for each in leaves if each.id == BOOT), None)


def test_build_and_test_and_watch_agree(laboratory: Laboratory) -> None:
    plain = laboratory.run(patches("bootwarn"))
    plain.test()
    results = ResultCache()
    runs = [plain]
    for _ in ("cold", "warm"):
        runs.append(laboratory.run(patches("bootwarn"), result_cache=results))
        runs[-1].test()
    assert [verdict(run) for run in runs] == [Verdict.FAIL] * 3
    assert runs[0].findings == runs[1].findings == runs[2].findings
    assert runs[0].findings.leaves[0].id == BOOT
    assert set(laboratory.ran.values()) == {2}, "the last run took its results from the cache"
    for run in runs:
        assert isinstance(run.observer, Watcher)
        assert [leaf.id for leaf in run.observer.told].count(BOOT) == 1


@pytest.mark.parametrize(
    ("base", "series", "found", "outcome"),
    [
        (("bootwarn",), "comment", LeafClass.PREEXISTING, Verdict.PASS),
        ((), "bootwarn", LeafClass.NEW_FAILURE, Verdict.FAIL),
        (("bootwarn",), "bootwarn > fine", LeafClass.FIXED, Verdict.PASS),
        ((), "comment", None, Verdict.PASS),
    ],
)
def test_a_baseline_from_the_cache_gives_the_same_verdict(  # noqa: PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base: tuple[str, ...],
    series: str,
    found: LeafClass | None,
    outcome: Verdict,
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch, *base)
    runs = []
    for _ in ("cold", "warm"):
        laboratory.booted.clear()
        runs.append(laboratory.run(patches(series, "another kernel", base=base)))
        baseline.test(runs[-1])
        assert leaf_class(runs[-1]) is found
        assert verdict(runs[-1]) is outcome
    cold, warm = runs
    assert warm.findings == cold.findings
    assert sum(laboratory.booted.values()) == 1, "the base was not booted again"


def test_programs_in_the_cache_without_the_boot_are_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older toolkit left them, or a run that ended before its machines did."""
    laboratory = Laboratory(tmp_path, monkeypatch, "bootwarn")
    baseline.test(laboratory.run(patches("comment", "another kernel")))
    laboratory.ran.clear()
    for entry in (tmp_path / "cache/boot").glob("*/*.json"):
        entry.unlink()
    run = laboratory.run(patches("comment", "another kernel"))
    baseline.test(run)
    assert verdict(run) is Verdict.PASS
    assert sum(laboratory.ran.values()) == 2, "the base's programs came from the cache"


def test_repeats_from_the_cache_do_not_hide_it(laboratory: Laboratory) -> None:
    results = ResultCache()
    for _ in ("cold", "warm"):
        run = laboratory.run(patches("bootwarn"), result_cache=results, repeat=3)
        run.test()
        assert verdict(run) is Verdict.FAIL
    assert sum(laboratory.ran.values()) == 2 * 3


def boot_changes(run: Run) -> list[int]:
    return [
        step.patch
        for step in run.findings.steps
        if any(change.id == BOOT for change in step.changes)
    ]


def test_no_patch_is_blamed_for_what_the_base_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch, "bootwarn")
    for _ in ("cold", "warm"):
        run = laboratory.run(patches("skip alpha", "another kernel", "comment"))
        per_patch.test(run)
        assert boot_changes(run) == []
        assert leaf_class(run) is LeafClass.PREEXISTING
        assert not [leaf for leaf in run.findings.leaves if "boot" in leaf.id and leaf.status.bad]


@pytest.mark.parametrize("last", ["comment", "another kernel"])
def test_the_patch_that_brings_it_is_named(laboratory: Laboratory, last: str) -> None:
    found = []
    for _ in ("cold", "warm"):
        run = laboratory.run(patches("skip alpha", "bootwarn", last))
        per_patch.test(run)
        assert boot_changes(run) == [2]
        assert verdict(run) is Verdict.FAIL
        found.append([leaf.id for leaf in run.findings.leaves if leaf.status.bad])
    assert found[0] == found[1]
    assert BOOT in found[0]


def test_the_patch_that_brings_it_is_named_even_if_a_later_one_mends_it(
    laboratory: Laboratory,
) -> None:
    for _ in ("cold", "warm"):
        run = laboratory.run(patches("bootwarn", "bootwarn > fine", "skip gamma"))
        per_patch.test(run)
        bad = [leaf.id for leaf in run.findings.leaves if leaf.status.bad]
        assert f"patch-1/{BOOT}" in bad


def test_a_step_of_a_bisection_has_the_same_result_as_one_on_the_same_kernel_before(
    laboratory: Laboratory,
) -> None:
    results = ResultCache()
    for _ in ("first", "the same kernel again"):
        run = laboratory.run(None, result_cache=results)
        result = pipeline.build_and_test(run)
        assert bisect_judge.of_leaves("kvm/a_test/alpha", result.leaves)[1] == "pass"
        assert result.verdict is Verdict.PASS
    warns = patches("bootwarn")
    for _ in ("first", "the same kernel again"):
        result = pipeline.build_and_test(laboratory.run(warns, result_cache=results))
        assert result.verdict is Verdict.FAIL
        assert [splat.during for splat in result.splats] == ["boot"]


WORDS = ("bootwarn", "fail alpha", "skip beta", "gone gamma", "warn b_test")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(base=st.sets(st.sampled_from(WORDS)), series=st.sets(st.sampled_from(WORDS), min_size=1))
def test_whatever_is_wrong_with_either_kernel(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    base: set[str],
    series: set[str],
) -> None:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"), monkeypatch, *sorted(base))
    words = sorted(series - base) or ["another kernel"]
    tests: list[Callable[[Run], Any]] = [baseline.test, per_patch.test]
    for test in tests:
        outcomes = []
        for _ in ("cold", "warm"):
            run = laboratory.run(patches(*words))
            test(run)
            outcomes.append({leaf.id: leaf.status for leaf in run.findings.leaves})
        assert outcomes[0] == outcomes[1]
