from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, make_tree, soon
from toolkit.series import checkpatch

MAINTAINERS = """KERNEL VIRTUAL MACHINE
M:	A Maintainer <a@example.org>
F:	virt/kvm/*
F:	tools/testing/selftests/kvm/
F:	arch/*/kvm/

THE REST
F:	*
F:	*/
"""


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("virt/kvm/new.c", True),
        ("virt/kvm/deeper/new.c", False),
        ("tools/testing/selftests/kvm/x86_64/new_test.c", True),
        ("arch/riscv/kvm/new.c", True),
        ("drivers/misc/new.c", False),
        ("new.c", False),
    ],
)
def test_who_maintains_a_new_file(path: str, there: bool) -> None:
    assert checkpatch.covered([path], MAINTAINERS) is there
    assert not checkpatch.covered([path, "drivers/misc/other.c"], MAINTAINERS)


def answered(tree: Path, *diffs: str) -> list[str]:
    return list(checkpatch.answered("".join(diffs).encode(), tree))


def test_only_questions_that_can_be_answered_are(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", MAINTAINERS=MAINTAINERS)
    new, stray = create("virt/kvm/new.c"), create("drivers/misc/new.c")
    gone = (
        "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert answered(tree, new) == ["UNKNOWN_COMMIT_ID", "FILE_PATH_CHANGES"]
    assert answered(tree, edit("virt/kvm/eventfd.c")) == ["UNKNOWN_COMMIT_ID"]
    assert answered(tree, new, stray) == ["UNKNOWN_COMMIT_ID"]
    assert answered(tree, new, gone) == ["UNKNOWN_COMMIT_ID"]
    (tree / ".git").mkdir()
    assert answered(tree, new) == ["FILE_PATH_CHANGES"]


def test_the_trees_own_script_gets_the_patch(tmp_path: Path) -> None:
    tree = make_tree(
        tmp_path / "tree",
        **{"scripts/checkpatch.pl": 'print "@ARGV\\n"; print while <STDIN>;'},
    )
    said = checkpatch.check(b"the patch\n", tree, soon())
    assert said[0].startswith("--strict ")
    assert said[0].endswith("--ignore=UNKNOWN_COMMIT_ID -")
    assert said[1:] == ("the patch",)
