from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree, PatchSeries
from toolkit.series import blame

NO_FILES = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), "base")
BEFORE = "".join(
    f"{word}\n"
    for word in "one two three four five six seven eight nine ten eleven".split()  # noqa: SIM905
)
HEAD = "From: A <a@example.org>\nSubject: [PATCH] {subject}\n\nwhy\n---\n"
FIRST = """diff --git a/virt/a.c b/virt/a.c
--- a/virt/a.c
+++ b/virt/a.c
@@ -2,3 +2,5 @@ static int f(void)
 two
+added by the first
+also by the first
 three
 four
@@ -10,2 +12,3 @@
 ten
-eleven
+eleven, changed
+twelve
"""
SECOND = """diff --git a/virt/a.c b/virt/a.c
--- a/virt/a.c
+++ b/virt/a.c
@@ -1,2 +1,3 @@
+zero
 one
 two
diff --git a/virt/new.c b/virt/new.c
new file mode 100644
--- /dev/null
+++ b/virt/new.c
@@ -0,0 +1,3 @@
+first of the new file
+second of the new file
+third of the new file
"""
AFTER = """zero
one
two
added by the first
also by the first
three
four
five
six
seven
eight
nine
ten
eleven, changed
twelve
"""
NEW = "first of the new file\nsecond of the new file\nthird of the new file\n"


Tree = Callable[..., PatchedTree]


@pytest.fixture
def a_tree(tmp_path: Path) -> Tree:
    def make(above: str = "") -> PatchedTree:
        (tmp_path / "virt").mkdir()
        (tmp_path / "virt/a.c").write_text(above + BEFORE)
        base = dataclasses.replace(NO_FILES, path=tmp_path)
        patches = tuple(
            Patch(f"{n}.patch", subject, (HEAD.format(subject=subject) + text).encode())
            for n, (subject, text) in enumerate((("first", FIRST), ("second", SECOND)))
        )
        series = PatchSeries("topic/v1", "title", "6.12", patches)
        after = {"virt/a.c": above + AFTER, "virt/new.c": NEW}
        files = {name: PatchedFile(text.encode()) for name, text in after.items()}
        return PatchedTree(base, series, files, "key")

    return make


@pytest.mark.parametrize(
    ("line", "patch", "text"),
    [
        (1, 2, "+zero"),
        (4, 1, "+added by the first"),
        (5, 1, "+also by the first"),
        (14, 1, "+eleven, changed"),
        (15, 1, "+twelve"),
    ],
)
def test_a_line_is_followed_to_the_patch_that_wrote_it(
    a_tree: Tree, line: int, patch: int, text: str
) -> None:
    (found,) = blame.find([f"virt/a.c:{line}:3: error: no"], a_tree())
    assert (found.patch, found.file, found.line) == (patch, "virt/a.c", line)
    assert found.hunk[found.at] == text
    assert found.hunk[0].startswith("@@ ")
    assert found.subject == ("first", "second")[patch - 1]


@pytest.mark.parametrize("line", [2, 3, 6, 13])
def test_a_line_that_was_there_before_is_nobody_s(a_tree: Tree, line: int) -> None:
    assert blame.find([f"virt/a.c:{line}: error"], a_tree()) == ()


@pytest.mark.parametrize(
    "path", ["tools/virt/a.c", "/cache/src/tools/virt/a.c", "x/../tools/virt/a.c"]
)
def test_another_file_whose_name_ends_alike_is_nobody_s(a_tree: Tree, path: str) -> None:
    tree = a_tree()
    assert len(blame.find([f"{path}:1: error"], tree)) == 1  # as from a folder that is no source
    (tree.base.path / "tools/virt").mkdir(parents=True)
    (tree.base.path / "tools/virt/a.c").touch()
    assert blame.find([f"{path}:1: error"], tree) == ()
    assert len(blame.find(["./virt/a.c:1: error"], tree)) == 1


def test_a_new_file_s_lines_are_found(a_tree: Tree) -> None:
    (found,) = blame.find(["/cache/src/virt/new.c:3:1: warning: odd"], a_tree())
    assert (found.patch, found.hunk[found.at]) == (2, "+third of the new file")
    assert found.said == "virt/new.c:3:1: warning: odd"  # not where this host keeps its tree


def test_a_warning_keeps_its_words_before_the_place(a_tree: Tree) -> None:
    said = "WARNING: CPU: 1 PID: 70 at arch/x86/kvm/../../../virt/a.c:4 f+0x1/0x2 [kvm]"
    (found,) = blame.find([said], a_tree())
    assert found.said == "WARNING: CPU: 1 PID: 70 at virt/a.c:4 f+0x1/0x2 [kvm]"


def test_a_hunk_may_have_been_applied_elsewhere(a_tree: Tree) -> None:
    tree = a_tree(above="\n" * 7)
    (found,) = blame.find(["virt/a.c:11: error"], tree)
    assert found.hunk[found.at] == "+added by the first"
    assert blame.find(["virt/a.c:4: error"], tree) == ()


def test_a_place_is_told_once_and_strangers_not_at_all(a_tree: Tree) -> None:
    said = [
        "virt/a.c: In function 'f':",
        "virt/a.c:1:3: error: no",
        "virt/a.c:1:9: note: here",
        "kernel/fork.c:1: error",
        "virt/a.c:999999: error",
        "include/virt/a.c.h:1: error",
    ]
    assert len(blame.find(said, a_tree())) == 1
    assert blame.find(said, None) == ()


def test_the_context_is_bounded() -> None:
    body = "".join(f"+line {n}\n" for n in range(500))
    text = f"--- /dev/null\n+++ b/x.c\n@@ -0,0 +1,500 @@\n{body}"
    data = (HEAD.format(subject="big") + f"diff --git a/x.c b/x.c\n{text}").encode()
    series = PatchSeries("t", "t", "", (Patch("1", "big", data),))
    content = "".join(f"line {n}\n" for n in range(500)).encode()
    tree = PatchedTree(NO_FILES, series, {"x.c": PatchedFile(content)}, "k")
    (found,) = blame.find(["x.c:250:1: error"], tree)
    assert found.hunk[found.at] == "+line 249"
    assert len(found.hunk) == 2 * blame.CONTEXT + 2
