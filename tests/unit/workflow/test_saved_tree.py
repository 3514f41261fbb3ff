"""What a saved build has of the patched tree."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.testing.test_coverage import Kernel, a_tree, measure
from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.workflow import saved_build, saved_tree


def loaded(tree: PatchedTree, folder: Path) -> PatchedTree | None:
    assert tree.series
    base = replace(tree.base, path=Path())
    return saved_tree.load(folder, base, saved_build.titles(tree.series))


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_coverage_is_the_same_as_with_the_source(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("kvm/one", "1", "2", "3")
    tree = a_tree(kernel)
    before = measure(kernel, "kvm/one", tree=tree)
    saved_tree.save(tree, tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "src")  # where it was built, and the base
    shutil.rmtree(tmp_path / "base")
    after = measure(kernel, "kvm/one", tree=loaded(tree, tmp_path / "moved"))
    assert after == before
    assert any(line.ran for hunk in after.coverage.hunks for line in hunk.lines)


def test_each_file_is_as_it_was(kernel: Kernel, tmp_path: Path) -> None:
    tree = a_tree(kernel)
    files = {**tree.files, "virt/gone.c": PatchedFile(None), "x.sh": PatchedFile(b"\xff\r\n", True)}
    (kernel.base / "virt/gone.c").write_bytes(b"\0")
    tree = replace(tree, files=files)
    saved_tree.save(tree, tmp_path / "saved")
    found = loaded(tree, tmp_path / "saved")
    assert found
    assert (found.files, found.key) == (tree.files, tree.key)
    assert found.series
    assert tree.series
    assert [each.content for each in found.series.patches] == [
        each.content for each in tree.series.patches
    ]
    assert (found.base.path / "virt/gone.c").read_bytes() == b"\0"
    assert not (found.base.path / "virt/demo.h").exists()


def test_there_may_be_none(kernel: Kernel, tmp_path: Path) -> None:
    assert loaded(a_tree(kernel), tmp_path / "saved") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": "k", "executable": 5}', "\0"])
def test_a_damaged_one_is_an_error(kernel: Kernel, tmp_path: Path, text: str) -> None:
    tree = a_tree(kernel)
    saved_tree.save(tree, tmp_path / "saved")
    (tmp_path / "saved/files.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        loaded(tree, tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved/patches")
    with pytest.raises(UserError, match="is damaged"):
        loaded(tree, tmp_path / "saved")
