"""A series patch by patch, on kernels that only pretend."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.fake_kernels import Laboratory, Watcher, patches
from toolkit.core.errors import BuildError, UserError
from toolkit.core.model.comparison import StepState
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Status
from toolkit.report import comparison_view
from toolkit.testing import verdicts
from toolkit.workflow import per_patch
from toolkit.workflow.run import Run


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(tmp_path, monkeypatch)


def gone_through(laboratory: Laboratory, *words: str) -> Run:
    run = laboratory.run(patches(*words))
    per_patch.test(run)
    return run


def broke(run: Run) -> dict[int, list[str]]:
    return {
        step.patch: [change.id.removeprefix("kvm/") for change in comparison_view.broken(step)]
        for step in run.findings.steps
        if comparison_view.broken(step)
    }


def bad(run: Run) -> list[str]:
    return [leaf.id for leaf in run.findings.leaves if leaf.status.bad]


def test_the_patch_that_breaks_a_leaf_and_the_one_that_breaks_it_differently(
    laboratory: Laboratory,
) -> None:
    run = gone_through(
        laboratory, "comment", "skip gamma", "fail beta", "warn b_test", "fail beta > other beta"
    )
    assert broke(run) == {3: ["a_test/beta"], 4: ["b_test/dmesg"], 5: ["a_test/beta"]}
    assert "in another way" in comparison_view.how_broken(
        comparison_view.broken(run.findings.steps[5])[0]
    )
    assert "in another way" not in comparison_view.how_broken(
        comparison_view.broken(run.findings.steps[3])[0]
    )
    assert verdicts.verdict(run.findings.leaves)[0] is Verdict.FAIL


def test_a_kernel_that_is_the_same_is_not_run_again(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "comment", "skip beta", "loud", "comment")
    states = [step.state for step in run.findings.steps]
    assert states == ["tested", "same", "tested", "same", "same"]
    assert sum(laboratory.ran.values()) == 2 + 2 + 2 * 6  # two kernels, and one doubt about beta
    assert [leaf.id for leaf in run.findings.leaves] == [
        "kvm/a_test/alpha",
        "kvm/a_test/beta",
        "kvm/a_test/gamma",
        "kvm/b_test/delta",
    ]
    assert isinstance(run.observer, Watcher)
    assert len(run.observer.told) == 4


def test_only_the_whole_series_is_run_anew_when_nothing_has_changed(
    laboratory: Laboratory,
) -> None:
    first = gone_through(laboratory, "skip alpha", "another kernel", "and another")
    laboratory.ran.clear()
    second = gone_through(laboratory, "skip alpha", "another kernel", "and another")
    assert [step.changes for step in first.findings.steps] == [
        step.changes for step in second.findings.steps
    ]
    ran = Counter(kernel for kernel, _ in laboratory.ran.elements())
    assert sorted(ran.values()) == [
        6,
        8,
    ]  # base and series: the doubt about alpha, and both programs


def test_warnings_belong_to_the_patch_that_adds_them(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "comment", "loud", "skip beta")
    assert [len(step.warnings) for step in run.findings.steps] == [0, 0, 1, 0]
    assert run.findings.steps[2].warnings == ("virt/kvm/eventfd.c: loud",)


def test_a_patch_in_the_middle_that_does_not_build_fails_the_run(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "comment", "broken", "broken > fine")
    assert [step.state for step in run.findings.steps][2:] == ["does not build", "same"]
    assert bad(run) == ["patch-2/build"]
    assert "error: broken" in run.findings.steps[2].message


def test_a_patch_in_the_middle_that_does_not_boot_fails_the_run(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "noboot", "noboot > fine")
    assert [step.state for step in run.findings.steps] == ["tested", "does not boot", "same"]
    assert bad(run) == ["patch-1/boot"]


def test_what_a_later_patch_mends_fails_the_run_all_the_same(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "fail beta", "fail beta > fine", "skip gamma")
    assert broke(run) == {1: ["a_test/beta"]}
    assert "patch-1/kvm/a_test/beta" in bad(run)
    assert "a later one mends it" in next(
        leaf.message for leaf in run.findings.leaves if leaf.id == "patch-1/kvm/a_test/beta"
    )


def test_what_the_base_cannot_run_may_fail_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("skip beta",)
    laboratory = Laboratory(tmp_path, monkeypatch, *base)
    words = ("skip beta > fail beta", "fail beta > fine")
    run = laboratory.run(patches(*words, base=base))
    per_patch.test(run)
    assert broke(run) == {}
    assert [change.after for change in run.findings.steps[1].changes] == [Status.FAIL]
    assert bad(run) == []
    assert sum(laboratory.ran.values()) == 2 * 3  # nothing had to be repeated


def test_a_series_that_does_not_build_names_the_patch(laboratory: Laboratory) -> None:
    run = laboratory.run(patches("comment", "broken", "comment"))
    with pytest.raises(BuildError, match="from patch 2 on"):
        per_patch.test(run)
    assert [step.state for step in run.findings.steps] == [
        StepState.UNTESTED,
        StepState.UNTESTED,
        StepState.BUILD_BREAK,
        StepState.BUILD_BREAK,
    ]
    assert not laboratory.ran


def test_a_flake_blames_no_patch(laboratory: Laboratory) -> None:
    # The word fails in the first of five runs on every kernel from the first patch on.
    run = gone_through(laboratory, "flaky delta", "skip gamma")
    assert 2 not in broke(run)


def test_the_base_s_step_counts_its_leaves(laboratory: Laboratory) -> None:
    run = gone_through(laboratory, "fail beta")
    assert run.findings.steps[0].counts == {Status.PASS: 4}
    assert run.findings.steps[1].counts == {Status.FAIL: 1, Status.PASS: 3}


def test_without_a_series_there_is_nothing_to_go_through(laboratory: Laboratory) -> None:
    with pytest.raises(UserError, match="goes through a series"):
        per_patch.test(laboratory.run(None))
