from __future__ import annotations

from pathlib import Path

from tests.unit.fake_tree import make_base
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel import tree_text


def test_a_file_is_as_the_series_leaves_it(tmp_path: Path) -> None:
    base = make_base(tmp_path, gone="a", kept="b", changed="c")
    files = {"gone": PatchedFile(None), "changed": PatchedFile(b"d"), "new/er": PatchedFile(b"e")}
    tree = PatchedTree(base, None, files, "key")
    names = ("gone", "kept", "changed", "new/er", "nowhere/at/all", "kept/below", "")
    read = [tree_text.read(tree, name) for name in names]
    assert read == [None, "b", "d", "e", None, None, None]
