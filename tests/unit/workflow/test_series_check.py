from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, make_base, soon
from tests.unit.fake_tree import series as fake_series
from toolkit.core import paths
from toolkit.core.model.kernel import KernelBase, KernelConfig
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.observer import Silent
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.toolchain import Toolchain
from toolkit.series import catalog, patching
from toolkit.workflow import series_check
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run
from toolkit.workflow.series_table import Compiled, Row, Table

PROJECT = Path(__file__).parents[3]
GOOD = Compiled("gcc")
CLANG = Toolchain("clang")


def test_a_clean_series_is_a_clean_table() -> None:
    table = Table((Row("0001-a.patch", (), (GOOD,), ()), Row("0002-b.patch", (), (GOOD,), ())))
    assert table.exit_code == 0
    assert [line.split() for line in table.lines()[1:]] == [
        ["0001-a.patch", "yes", "clean", "yes", "clean", "clean"],
        ["0002-b.patch", "yes", "clean", "yes", "clean", "clean"],
    ]


def test_what_was_found_stands_below_the_table() -> None:
    table = Table(
        (
            Row(
                "0001-a.patch",
                ("1: WARNING:LONG_LINE: too long",),
                (Compiled("gcc", new=("a.c: unused 'x'",)),),
                (),
            ),
            Row(
                "0002-b.patch",
                (),
                (Compiled("gcc", ("the kernel does not build", "a.c:1: error")),),
                ("b.c: y",),
            ),
        )
    )
    assert table.exit_code == 1
    lines = table.lines()
    assert lines[1].split() == ["0001-a.patch", "yes", "1", "yes", "1", "new", "clean"]
    assert lines[2].split() == ["0002-b.patch", "yes", "clean", "NO", "-", "1", "new"]
    assert "  b.c: y" in lines
    assert "  a.c: unused 'x'" in lines
    assert "  a.c:1: error" in lines


def test_a_second_toolchain_has_columns_of_its_own_and_its_name_before_its_lines() -> None:
    clang = Compiled("clang", new=("a.c: unused 'x'",), checks="W=1")
    broken = Compiled("clang", ("the kernel does not build",), checks="W=1")
    table = Table(
        (
            Row("0001-a.patch", (), (GOOD, clang), ()),
            Row("0002-b.patch", (), (GOOD, broken), ()),
        ),
        ("clang-19 was not tried: why",),
    )
    assert table.exit_code == 1
    head, first, second, *rest = (line.split() for line in table.lines())
    assert head[3:] == ["gcc", "W=1", "C=1", "clang", "W=1", "coccinelle"]
    assert first[3:] == ["yes", "clean", "yes", "1", "new", "clean"]
    assert second[3:] == ["yes", "clean", "NO", "-", "clean"]
    assert ["clang:", "a.c:", "unused", "'x'"] in rest
    assert ["clang:", "the", "kernel", "does", "not", "build"] in rest
    assert table.lines()[-1] == "clang-19 was not tried: why"


def test_a_complaint_of_coccinelle_alone_is_a_fault() -> None:
    assert Table((Row("0001-a.patch", (), (GOOD,), ("a.c: y",)),)).exit_code == 1


def test_what_could_not_be_checked_is_said_and_is_no_fault() -> None:
    table = Table((Row("0001-a.patch", (), (GOOD,)),), ("coccinelle was not run: why",))
    assert table.exit_code == 0
    assert table.lines()[1].split() == [
        "0001-a.patch",
        "yes",
        "clean",
        "yes",
        "clean",
        "not",
        "run",
    ]
    assert table.lines()[-1] == "coccinelle was not run: why"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run over a fake tree, with a spatch that complains of each line with "bad" in it."""
    spatch = tmp_path / "bin/spatch"
    spatch.parent.mkdir()
    spatch.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && { echo spatch version 1.1.1; exit; }\n'
        "grep -rn bad . | sed -E 's/^([^:]*:[0-9]+):(.*)/\\1:2-9: \\2/'\n"
    )
    spatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spatch.parent}{os.pathsep}{os.environ['PATH']}")
    base = make_base(tmp_path / "tree")
    script = base.path / "scripts/coccinelle/bad.cocci"
    script.parent.mkdir()
    script.write_text("virtual report\n")
    places = replace(paths.resolve(PROJECT), cache=tmp_path / "cache")
    reached = Reached(base=base, config=KernelConfig("", "key"))
    return Run(Request(patch=None, jobs=1), places, tmp_path, Silent(), reached=reached)


def test_a_patch_answers_for_the_complaints_that_it_adds(run: Run) -> None:
    file = "virt/kvm/eventfd.c"
    added, kept, other = edit(file, 30, "bad"), edit(file, 10), create("README", "bad\n")
    trees = [
        patching.apply(run.base, each, soon())
        for each in (None, *catalog.prefixes(fake_series(added, kept, other)))
    ]
    complaints, notes = series_check._coccinelle(run, trees)
    assert complaints == [(f"{file}: bad",), (), ()]
    assert notes == ()
    assert [stage.cached for stage in run.stages.records] == [False]
    series_check._coccinelle(run, trees)
    assert run.stages.records[-1].cached


def test_without_spatch_the_column_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.workflow.series_check.coccinelle.checker", lambda *_: None)
    tree = patching.apply(run.base, None, soon())
    complaints, notes = series_check._coccinelle(run, [tree, tree])
    assert complaints == [None]
    assert "spatch is not installed (Debian package coccinelle)" in notes[0]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a lint compiles: the trees' keys, with a star for a compilation from scratch.

    Each tree has a diagnostic for each line "bad" in its file.
    """
    heard: list[str] = []

    def diagnose(_: object, tree: PatchedTree, *, fresh: bool = False) -> Counter[str]:
        heard.append(f"{'*' if fresh else ''}{tree.key}")
        content = series_check._content(tree, "virt/kvm/eventfd.c") or b""
        return Counter({"bad": content.count(b"bad")})

    monkeypatch.setattr(series_check._Lint, "_diagnose", diagnose)
    monkeypatch.setattr(series_check._Lint, "_sparse", lambda *_: "0.6.4")
    monkeypatch.setattr(Builder, "compiler", lambda *_: "gcc")
    return heard


def kit(run: Run, checks: str = "W=1 C=1") -> series_check._Kit:
    return series_check._Kit(run.builder, run.config, checks)


def test_only_patches_that_changed_are_compiled_again(run: Run, compiled: list[str]) -> None:
    def trees(*diffs: str) -> list[PatchedTree]:
        prefixes = (None, *catalog.prefixes(fake_series(*diffs)))
        return [patching.apply(run.base, each, soon()) for each in prefixes]

    def added(trees: list[PatchedTree]) -> list[tuple[str, ...]]:
        compiled.clear()
        lint = series_check._Lint(run, ["virt/kvm"], kit(run))
        return [lint.added(*pair) for pair in pairwise(trees)]

    file = "virt/kvm/eventfd.c"
    first = trees(edit(file, 10), edit(file, 30, "bad"), edit(file, 50))
    assert added(first) == [(), ("bad",), ()]
    assert compiled == [f"*{first[0].key}", *(tree.key for tree in first[1:])]
    assert added(first) == [(), ("bad",), ()]
    assert compiled == []
    second = trees(edit(file, 10), edit(file, 30, "bad"), edit(file, 50, "bad"))
    assert added(second) == [(), ("bad",), ("bad",)]
    assert compiled == [f"*{second[2].key}", second[3].key]


def test_a_folder_that_another_run_has_used_is_begun_again(
    run: Run, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "virt/kvm/eventfd.c"
    prefixes = (None, *catalog.prefixes(fake_series(edit(file, 10), edit(file, 30, "bad"))))
    trees = [patching.apply(run.base, each, soon()) for each in prefixes]
    diagnose, lost = series_check._Lint._diagnose, [trees[2].key]

    def sometimes(
        lint: series_check._Lint, tree: PatchedTree, *, fresh: bool = False
    ) -> Counter[str] | None:
        if not fresh and tree.key in lost:
            lost.remove(tree.key)
            return None
        return diagnose(lint, tree, fresh=fresh)

    monkeypatch.setattr(series_check._Lint, "_diagnose", sometimes)
    lint = series_check._Lint(run, ["virt/kvm"], kit(run))
    assert [lint.added(*pair) for pair in pairwise(trees)] == [(), ("bad",)]
    first, second, third = (tree.key for tree in trees)
    assert compiled == [f"*{first}", second, f"*{second}", third]


def test_only_the_folder_that_this_check_began_is_its_own(run: Run, tmp_path: Path) -> None:
    tree = patching.apply(run.base, None, soon())
    work = WorkTree(tmp_path, tree, lambda *_: None, soon())
    run._reached = replace(run._reached, config=KernelConfig("CONFIG_A=y\n", "key"))
    lint, other = (series_check._Lint(run, ["virt/kvm"], kit(run)) for _ in range(2))
    assert not lint._is_ours(tmp_path)
    output = lint._lint_folder(work, fresh=True)
    (output / "a.o").touch()
    assert (output / ".config").read_text() == "CONFIG_A=y\n"
    assert lint._is_ours(tmp_path)
    assert lint._lint_folder(work, fresh=False) == output
    assert (output / "a.o").exists()
    other._lint_folder(work, fresh=True)
    assert not lint._is_ours(tmp_path)
    assert not (output / "a.o").exists()


def test_a_series_without_c_files_compiles_nothing(run: Run, compiled: list[str]) -> None:
    tree = patching.apply(run.base, None, soon())
    assert series_check._Lint(run, [], kit(run)).added(tree, tree) == ()
    assert compiled == []


def test_the_folder_that_compiles_virt_kvm_is_the_archs() -> None:
    base = KernelBase("tree:x", "6.12.1", Path("/nowhere"), "key")
    names = (
        *("virt/kvm/a.c", "drivers/misc/b.c", "include/linux/c.h", "Documentation/d.rst"),
        "tools/testing/selftests/kvm/e.c",  # user space: kbuild knows nothing of it
    )
    tree = PatchedTree(base, None, {name: PatchedFile(b"") for name in names}, "key")
    assert series_check._folders(tree, "x86") == ["arch/x86/kvm", "drivers/misc"]
