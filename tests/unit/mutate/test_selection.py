# ruff: noqa: E101 - the patches have tabs and the blanks of a diff
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import git, make_base, soon
from tests.unit.mutate.some_mutants import by_hand
from toolkit.core.errors import UserError
from toolkit.core.model.mutation import Mutant
from toolkit.core.model.series import PatchedTree
from toolkit.mutate import mutants, selection
from toolkit.mutate.selection import Selection
from toolkit.series import catalog, patching

FILE = "virt/kvm/new.c"
MANIFEST = 'title: A thing\nbases:\n  "6.12":\nsuites: [kvm]\n'
ONE = """From: A Hacker <a@example.org>
Subject: [PATCH 1/2] KVM: add a thing

Why.
---
diff --git a/virt/kvm/new.c b/virt/kvm/new.c
new file mode 100644
--- /dev/null
+++ b/virt/kvm/new.c
@@ -0,0 +1,5 @@
+int f(int n)
+{
+	g(n < 3);
+	return 0;
+}
"""
TWO = """From: A Hacker <a@example.org>
Subject: [PATCH 2/2] KVM: return it

Why.
---
diff --git a/virt/kvm/new.c b/virt/kvm/new.c
--- a/virt/kvm/new.c
+++ b/virt/kvm/new.c
@@ -1,5 +1,5 @@
 int f(int n)
 {
 	g(n < 3);
-	return 0;
+	return n;
 }
"""


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    """Return the tree of a series that lies in a repository, and has just been edited."""
    folder = tmp_path / "patches/topic/v1"
    (folder / "6.12").mkdir(parents=True)
    (folder / "series.yaml").write_text(MANIFEST)
    (folder / "6.12/0001-one.patch").write_text(ONE.replace("< 3", "< 4"))
    (folder / "6.12/0002-two.patch").write_text(TWO.replace("< 3", "< 4"))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "before")
    (folder / "6.12/0001-one.patch").write_text(ONE)
    (folder / "6.12/0002-two.patch").write_text(TWO)
    base = make_base(tmp_path / "tree")
    return patching.apply(base, catalog.resolve("v1", tmp_path / "patches", "6.12.1"), soon())


def chosen(tree: PatchedTree, wanted: Selection, *more: Mutant) -> set[tuple[str, int]]:
    every = [*mutants.of_tree(tree), *more]
    return {(each.operator, each.line) for each in selection.chosen(every, wanted, tree, soon())}


def test_all_are_wanted_where_nothing_is_asked(tree: PatchedTree) -> None:
    found = chosen(tree, Selection(), by_hand("x"))
    assert {("boundary", 3), ("constant", 3), ("return-value", 4), ("by-hand", 1)} <= found


def test_operators_go_by_globs(tree: PatchedTree) -> None:
    assert chosen(tree, Selection(("bound*", "by-hand")), by_hand("x")) == {
        ("boundary", 3),
        ("by-hand", 1),
    }


def test_an_operator_that_there_is_not_is_refused_with_a_guess(tree: PatchedTree) -> None:
    with pytest.raises(UserError) as caught:
        chosen(tree, Selection(("boundry",)))
    assert "'boundary'" in caught.value.hint


def test_a_mutant_goes_by_the_beginning_of_its_id_or_its_name(tree: PatchedTree) -> None:
    one = mutants.of_tree(tree)[0]
    assert chosen(tree, Selection(ids=(one.id[:8],))) == {(one.operator, one.line)}
    assert chosen(tree, Selection(ids=("x",)), by_hand("x")) == {("by-hand", 1)}
    with pytest.raises(UserError, match="no mutant 'zz'"):
        chosen(tree, Selection(ids=("zz",)))


@pytest.mark.parametrize("name", ["2", "0002-two.patch", "patches/topic/v1/6.12/0002-two.patch"])
def test_since_a_patch_are_the_lines_that_it_wrote(tree: PatchedTree, name: str) -> None:
    assert {line for _, line in chosen(tree, Selection(since=name), by_hand("x"))} == {4}


def test_since_a_revision_are_the_lines_that_changed(tree: PatchedTree) -> None:
    assert {line for _, line in chosen(tree, Selection(since="HEAD"))} == {3}


def test_since_nothing_that_there_is(tree: PatchedTree) -> None:
    with pytest.raises(UserError, match="has 2 patches"):
        chosen(tree, Selection(since="3"))
    with pytest.raises(UserError, match="neither a patch of topic/v1 nor a revision"):
        chosen(tree, Selection(since="no-such-thing"))
    assert tree.series is not None
    bare = replace(tree, series=replace(tree.series, origin=None))
    with pytest.raises(UserError, match="no folder of a repository"):
        chosen(bare, Selection(since="HEAD"))


def test_nothing_but_the_whole_is_whole() -> None:
    assert Selection().whole
    assert not Selection(since="1").whole
