from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.fake_kernels import FakePool, Laboratory
from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    BootError,
    BuildError,
    InfrastructureError,
    MachineLostError,
    ToolkitError,
    UserError,
)
from toolkit.core.model.kernel import KernelBase, KernelConfig
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import PatchedTree
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Silent
from toolkit.testing.tested import Tested
from toolkit.vm import coldplug
from toolkit.vm.factory import BootedGuest, MachineFactory
from toolkit.workflow import bisect_judge, pipeline
from toolkit.workflow.bisect_judge import Judge, Question, question
from toolkit.workflow.bisect_state import Judgement
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

PROJECT = Path(__file__).parents[3]
GOOD, BAD, SKIP = Judgement.GOOD, Judgement.BAD, Judgement.SKIP
LEAF = "kvm/a_test/case"
COMPILER = [
    "",
    "/c/work/kernel/5ee2/src/b/../a.c: In function 'f':",
    "/c/work/kernel/5ee2/src/b/../a.c:1: error: x",
]


# --- what is asked -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "suites", "meant"),
    [
        ("kvm/a_test/case", (), Question("kvm/a_test/case", ("kvm",))),
        ("kvm/a_test", (), Question("kvm/a_test", ("kvm",))),
        ("a_test/case", ("kvm",), Question("kvm/a_test/case", ("kvm",))),
        ("kvm/a_test/x/y", ("io", "kvm"), Question("kvm/a_test/x/y", ("io", "kvm"))),
        ("upstream-kvm/a/b", (), Question("upstream-kvm/a/b", ("upstream-kvm",))),
        ("upstream-x-y/a/b", ("upstream:y",), Question("upstream-x-y/a/b", ("upstream:y",))),
        ("kunit/a/b", ("kunit:b*",), Question("kunit/a/b", ("kunit:b*",))),
        ("a/b", ("kunit",), Question("kunit/a/b", ("kunit",))),
        ("boot", (), Question("boot")),
        ("boot/dmesg", ("kvm",), Question("boot/dmesg", ("kvm",))),
    ],
)
def test_a_question(leaf: str, suites: tuple[str, ...], meant: Question) -> None:
    assert question(leaf, suites) == meant


@pytest.mark.parametrize(
    ("leaf", "suites"),
    [
        ("", ()),
        ("kvm", ()),
        ("kvm/", ()),
        ("a_test/case", ("kvm", "io")),
        ("upstream:eventfd/a_test/case", ()),
        ("a_test/case", ("upstream:eventfd",)),
    ],
)
def test_no_question(leaf: str, suites: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        question(leaf, suites)


# --- what leaves say -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "judgement"),
    [
        (Status.PASS, GOOD),
        (Status.XPASS, GOOD),
        (Status.SKIP, SKIP),
        (Status.FAIL, BAD),
        (Status.XFAIL, BAD),
        (Status.CRASH, BAD),
        (Status.TIMEOUT, BAD),
        (Status.ERROR, BAD),
    ],
)
def test_a_leaf(status: Status, judgement: Judgement) -> None:
    leaves = [Leaf("kvm/a_test/other", Status.FAIL), Leaf(LEAF, status, "because\nof")]
    assert bisect_judge.of_leaves(LEAF, leaves) == (judgement, f"{status.value}: because")


def test_a_leaf_that_does_not_report_cannot_be_judged() -> None:
    judgement, said = bisect_judge.of_leaves(LEAF, [Leaf("kvm/a_test/cases", Status.PASS)])
    assert (judgement, said) == (SKIP, f"no test reported as {LEAF}; there is kvm/a_test/cases")
    assert bisect_judge.of_leaves(LEAF, [])[0] is SKIP


@pytest.mark.parametrize(
    ("others", "judgement"),
    [
        ([Status.PASS], GOOD),
        ([Status.FAIL, Status.SKIP], GOOD),
        ([Status.PASS, Status.CRASH], SKIP),
        ([Status.TIMEOUT], SKIP),
        ([Status.SKIP], SKIP),
        ([], SKIP),
    ],
)
def test_a_kernel_that_did_not_complain(others: list[Status], judgement: Judgement) -> None:
    leaves = [Leaf(f"kvm/a_test/{at}", status) for at, status in enumerate(others)]
    assert bisect_judge.of_leaves("kvm/a_test/dmesg", leaves)[0] is judgement
    complaint = Leaf("kvm/a_test/dmesg", Status.FAIL, "WARNING")
    assert bisect_judge.of_leaves("kvm/a_test/dmesg", [*leaves, complaint]) == (
        BAD,
        "fail: WARNING",
    )


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ({"x": Status.PASS, "y": Status.SKIP}, (GOOD, "1 passed")),
        ({"x": Status.PASS, "y": Status.FAIL}, (BAD, "y: fail")),
        ({"x": Status.PASS, "y": Status.XFAIL}, (GOOD, "1 passed")),
        ({"x": Status.PASS, "": Status.CRASH}, (BAD, "crash")),
        ({"x": Status.SKIP}, (SKIP, "no test of kvm/a_test was run")),
        ({}, (SKIP, "no test of kvm/a_test was run")),
    ],
)
def test_a_program_stands_for_all_its_cases(
    statuses: dict[str, Status], answer: tuple[Judgement, str]
) -> None:
    leaves = [Leaf(f"kvm/a_test/{case}".rstrip("/"), each) for case, each in statuses.items()]
    leaves.append(Leaf("kvm/b_test/x", Status.FAIL))
    assert bisect_judge.of_leaves("kvm/a_test", leaves) == answer


@pytest.mark.parametrize(
    ("wanted", "leaves", "judgement"),
    [
        ("boot", [Leaf("boot", Status.PASS)], GOOD),
        ("boot", [Leaf("boot/dmesg", Status.FAIL), Leaf("boot", Status.PASS)], GOOD),
        ("boot/dmesg", [Leaf("boot", Status.PASS)], GOOD),
        ("boot/dmesg", [Leaf("boot/dmesg", Status.FAIL), Leaf("boot", Status.PASS)], BAD),
    ],
)
def test_a_boot(wanted: str, leaves: list[Leaf], judgement: Judgement) -> None:
    assert bisect_judge.of_leaves(wanted, leaves)[0] is judgement


# --- what a run says -----------------------------------------------------------------------


def like(tmp_path: Path, **given: Any) -> Run:
    request = Request(**{"patch": None, "step_summary": tmp_path / "page", **given})
    return Run(request, paths.resolve(PROJECT), tmp_path, Silent())


class Pipeline:
    """Stands in for the real one: says what ``gives`` says of each run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[Run] = []
        self.tests: list[Callable[[Run], object] | None] = []
        self.gives: Callable[[Run], RunResult] = lambda _: passing()
        monkeypatch.setattr(pipeline, "build_and_test", self.build_and_test)

    def build_and_test(self, run: Run, test: Callable[[Run], object] | None) -> RunResult:
        self.runs.append(run)
        self.tests.append(test)
        return self.gives(run)

    def fails(self, error: ToolkitError) -> None:
        def raises(_: Run) -> RunResult:
            raise error

        self.gives = raises


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    return Pipeline(monkeypatch)


def passing(status: Status = Status.PASS) -> RunResult:
    return RunResult(Verdict.PASS, 0, (), "", 1.0, "1", leaves=(Leaf(LEAF, status),))


def test_each_kernel_has_a_run_of_the_leaf_s_program(tmp_path: Path, fake: Pipeline) -> None:
    asks = Judge(question(LEAF, ()), like(tmp_path, append=("nosmt",)), ("toolkit", "x", "--slow"))
    for number in (1, 2):
        assert asks(f"git:.@{number}", tmp_path / str(number), Silent()) == (GOOD, "pass")
    first, second = fake.runs
    assert first.folder == tmp_path / "1"
    assert first.request.kernel == "git:.@1"
    assert (first.request.suites, first.request.tests) == (("kvm",), ("a_test",))
    assert first.request.append == ("nosmt",)
    assert first.request.step_summary is None
    assert " ".join(first.request.command) == (
        "toolkit x --slow --kernel git:.@1 --suite kvm --test a_test"
    )
    assert first.result_cache is second.result_cache is not None


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ([Status.PASS, Status.PASS, Status.PASS], (GOOD, "pass, 3 times")),
        ([Status.PASS, Status.SKIP, Status.FAIL], (BAD, "fail (run 3)")),
        ([Status.PASS, None, Status.PASS], (SKIP, f"no test reported as {LEAF} (run 2)")),
    ],
)
def test_a_leaf_must_pass_every_time(
    statuses: list[Status | None], answer: tuple[Judgement, str]
) -> None:
    tested = Tested(
        observed={
            "kvm/a_test": tuple((Leaf(LEAF, each),) if each else () for each in statuses),
            "io/a_test": ((Leaf("io/a_test/case", Status.FAIL),),),
        }
    )
    seen = bisect_judge.each_time(tested, (), LEAF)
    assert bisect_judge._together([bisect_judge.of_leaves(LEAF, each) for each in seen]) == answer


def test_a_program_that_runs_several_times_is_judged_by_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = Laboratory(tmp_path, monkeypatch, "flaky delta").run(None, repeat=3, machines=1).test()
    leaves = bisect_judge.each_time(tested, (), "kvm/b_test/delta")
    assert [leaf.status for (leaf,) in leaves] == [Status.FAIL, Status.PASS, Status.PASS]


def test_a_leaf_that_is_to_pass_several_times_is_run_so_often(
    tmp_path: Path, fake: Pipeline
) -> None:
    fake.fails(BuildError("it does not build"))
    Judge(question(LEAF, (), 3), like(tmp_path))("git:.", tmp_path / "step", Silent())
    (run,) = fake.runs
    assert run.request.repeat == 3


@pytest.mark.parametrize(
    ("error", "leaf", "judgement"),
    [
        (BuildError("it does not build", detail=COMPILER), LEAF, SKIP),
        (BuildError("it does not build", detail=COMPILER), "boot", SKIP),
        (BootError("it hangs", detail=["", " a.c:1: error: x"]), LEAF, SKIP),
        (BootError("it hangs", detail=["a.c:1: error: x", "more"]), "boot", BAD),
        (BootError("it hangs", detail=["", "a.c:1: error: x"]), "boot/dmesg", BAD),
    ],
)
def test_a_kernel_that_does_not_come_up(
    tmp_path: Path, fake: Pipeline, error: ToolkitError, leaf: str, judgement: Judgement
) -> None:
    fake.fails(error)
    asks = Judge(question(leaf, ()), like(tmp_path))
    assert asks("git:.", tmp_path / "x", Silent()) == (judgement, f"{error.what}: a.c:1: error: x")


BASE = KernelBase("git:.", "6.12.1", Path("/nowhere"), "key")
PATCHED = PatchedTree(BASE, None, {}, "key")
CONFIG = KernelConfig("", "key")


@pytest.mark.parametrize(
    ("patch", "reached", "of_kernel"),
    [
        ("v4", Reached(), False),  # no such revision
        ("v4", Reached(base=BASE), True),  # no form for this kernel, or a patch does not apply
        ("v99", Reached(base=BASE), False),
        (None, Reached(base=BASE, tree=PATCHED), False),  # no such suite
        (None, Reached(BASE, None, PATCHED, ()), True),  # an option that Kconfig drops
        (None, Reached(BASE, None, PATCHED, (), CONFIG), False),
        (None, Reached(BASE, None, PATCHED, (), CONFIG, machines=True), True),  # no such program
    ],
)
def test_what_is_wrong_with_the_request_is_no_answer(
    patch: str | None, reached: Reached, of_kernel: bool
) -> None:
    request = Request(patch=patch, suites=("kvm",))
    places = paths.resolve(PROJECT)
    assert bisect_judge.is_of_this_kernel(request, reached, places) is of_kernel


def test_a_tree_without_its_own_suite_is_an_answer() -> None:
    reached = Reached(base=BASE, tree=PATCHED)
    for suite in ("upstream-kvm", "upstream:kvm", "kunit:list"):
        request = Request(patch=None, suites=(suite,))
        assert bisect_judge.is_of_this_kernel(request, reached, paths.resolve(PROJECT))


def test_a_wrong_request_is_raised(tmp_path: Path, fake: Pipeline) -> None:
    fake.fails(UserError("no such revision"))
    with pytest.raises(UserError, match="no such revision"):
        Judge(question(LEAF, ()), like(tmp_path))("git:.", tmp_path / "x", Silent())


@pytest.mark.parametrize("error", [InfrastructureError("full"), MachineLostError("gone")])
def test_the_host_s_faults_are_no_answer(
    tmp_path: Path, fake: Pipeline, error: ToolkitError
) -> None:
    fake.fails(error)
    for leaf in (LEAF, "boot"):
        with pytest.raises(InfrastructureError):
            Judge(question(leaf, ()), like(tmp_path))("git:.", tmp_path / leaf, Silent())


@pytest.mark.parametrize("complains", [False, True])
def test_a_boot_is_run_without_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Pipeline, complains: bool
) -> None:
    splats = (Splat("warning", "WARNING: a.c:1", "", fatal=False, line=1),) if complains else ()

    class Pool(FakePool):
        @contextmanager
        def boot(self, deadline: Deadline | None = None) -> Iterator[BootedGuest]:
            yield BootedGuest(
                cast("Any", SimpleNamespace(splats=lambda: splats)), cast("Any", None)
            )

    def make_pool(*, factory: MachineFactory, **_: Any) -> Pool:
        return Pool(factory.kernel, Counter())

    monkeypatch.setattr(coldplug, "synchronise", lambda *_: None)
    asks = Judge(question("boot/dmesg", ()), like(tmp_path), ("toolkit", "boot"))
    asks("git:.", tmp_path / "x", Silent())
    (asked,), (test,) = fake.runs, fake.tests
    assert asked.request.command == ("toolkit", "boot", "--kernel", "git:.")
    assert not asked.request.snapshots
    assert asked.result_cache is None
    assert test is bisect_judge.boot

    run = Laboratory(tmp_path, monkeypatch).run(None, make_pool=make_pool)
    bisect_judge.boot(run)
    judgement, _ = bisect_judge.of_leaves("boot/dmesg", run.findings.leaves)
    assert judgement is (BAD if complains else GOOD)
    assert [splat.during for splat in run.findings.splats] == ["boot"] * complains
    assert run.stages.records[-1].name == "boot"
