from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base
from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.testing import program_names
from toolkit.testing.suites import Suite


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    top = "tools/testing/selftests/x86"
    base = make_base(
        tmp_path / "base",
        **{f"{top}/Makefile": "TARGETS_C := sigreturn made_by_a_rule\n", f"{top}/sigreturn.c": ""},
    )
    files = {f"{top}/sub/of_the_series.c": PatchedFile(b"")}
    return PatchedTree(base, None, files, "k")


def suites(tmp_path: Path) -> list[Suite]:
    folder = tmp_path / "kvm"
    folder.mkdir(exist_ok=True)
    (folder / "Makefile").write_text("TEST_GEN_PROGS := args_test \\\n  fault_test\n")
    (folder / "args_test.c").write_text("")
    (folder / "script.sh").write_text("")
    return [Suite("kvm", folder, 1.0, ()), Suite("upstream-x86", None, 1.0, (), target="x86")]


@pytest.mark.parametrize(
    "glob",
    ["args_test", "*args*", "fault_*", "script.sh", "sigreturn", "sigreturn_32", "made_by_a_rule",
     "of_the_series", "sub/of_*", "*", "[ab]*", "arg?_test"],
)  # fmt: skip
def test_what_there_may_be(glob: str, tmp_path: Path, tree: PatchedTree) -> None:
    program_names.check([glob], suites(tmp_path), lambda: tree)


@pytest.mark.parametrize(("glob", "hint"), [("argz_test", "args_test"), ("nothing*", "--test")])
def test_what_there_cannot_be(glob: str, hint: str, tmp_path: Path, tree: PatchedTree) -> None:
    with pytest.raises(UserError) as caught:
        program_names.check(["args_test", glob], suites(tmp_path), lambda: tree)
    assert caught.value.what == f"no test program of kvm, upstream-x86 can be called {glob!r}"
    assert hint in caught.value.hint


def test_the_tree_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    def never() -> PatchedTree:
        raise AssertionError

    program_names.check(["args_test"], suites(tmp_path)[:1], never)
    program_names.check([], suites(tmp_path), never)
