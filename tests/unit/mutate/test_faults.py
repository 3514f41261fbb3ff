from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import edit, make_base, series, soon
from toolkit.core.errors import UserError
from toolkit.mutate import faults
from toolkit.series import patching

FILE = "virt/kvm/eventfd.c"


def folder_of(tmp_path: Path, **patches: str) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    for name, text in patches.items():
        (folder / f"{name}.patch").write_text(text)
    return folder


def test_each_patch_is_a_mutant_with_its_name_and_place(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, two=edit(FILE, 30), one=f"No lock.\n\n{edit(FILE, 20)}")
    found = faults.mutants(faults.load(folder))
    assert [(each.fault, each.operator, each.file) for each in found] == [
        ("one", "by-hand", FILE),
        ("two", "by-hand", FILE),
    ]
    assert [each.line for each in found] == [17, 27]
    assert len({each.id for each in found}) == 2


def test_a_fault_lies_on_top_of_the_series(tmp_path: Path) -> None:
    tree = patching.apply(make_base(tmp_path / "tree"), series(edit(FILE, 10)), soon())
    loaded = faults.load(folder_of(tmp_path, one=edit(FILE, 20, "fault")))
    [patch] = loaded.values()
    content = faults.applied(tree, patch, soon()).files[FILE].content or b""
    assert content.splitlines()[9] == b"changed"
    assert content.splitlines()[19] == b"fault"


def test_what_is_no_file_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.patch").mkdir()
    with pytest.raises(UserError, match=r"a\.patch: Is a directory"):
        faults.load(tmp_path)


def test_a_folder_without_faults_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no fault in"):
        faults.load(tmp_path)
