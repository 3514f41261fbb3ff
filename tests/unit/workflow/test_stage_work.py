"""The work of stages that has tests of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from toolkit.core import paths
from toolkit.core.arch import X86_64
from toolkit.core.model.series import PatchedFile, PatchedTree, PatchSeries
from toolkit.core.observer import Silent
from toolkit.host.cache import Cache
from toolkit.testing import in_tree_suites
from toolkit.workflow import stage_work
from toolkit.workflow.request import Request

PROJECT = Path(__file__).parents[3]
TIMERS = f"{in_tree_suites.FOLDER}/timers"


class Noticing(Silent):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    base = make_base(tmp_path, **{f"{TIMERS}/Makefile": "TEST_GEN_PROGS := posix_timers\n"})
    return PatchedTree(base, None, {f"{TIMERS}/posix_timers.c": PatchedFile(b"int a;\n")}, "key")


def wanted(
    request: Request, series: PatchSeries | None, tree: PatchedTree
) -> tuple[list[str], str]:
    observer = Noticing()
    place = paths.resolve(PROJECT)
    cache = Cache(tree.base.path.parent / "cache")
    builder = stage_work.builder(request, cache, X86_64, observer)
    suites = stage_work.wanted_suites(
        request, series, place, lambda: tree, builder=builder, deadline=soon()
    )
    return [suite.name for suite in suites], "\n".join(observer.notices)


def test_a_series_that_names_no_suite_has_the_tests_that_it_changes_run(tree: PatchedTree) -> None:
    series = PatchSeries("a/v1", "a series", "6.12", ())
    names, notice = wanted(Request(patch="a"), series, tree)
    assert names == ["upstream-timers"]
    assert "the series changes tests of the kernel tree: running upstream:timers" in notice


def test_suites_that_are_named_are_all_that_runs(tree: PatchedTree) -> None:
    series = PatchSeries("a/v1", "a series", "6.12", (), suites=("kvm",))
    assert wanted(Request(patch="a"), series, tree) == (["kvm"], "")
    named = Request(patch="a", suites=("syscalls",))
    assert wanted(named, series, tree) == (["syscalls"], "")
    assert wanted(Request(patch=None), None, tree) == ([], "")
