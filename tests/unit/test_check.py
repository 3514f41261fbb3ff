from __future__ import annotations

from collections import Counter
from pathlib import Path

from toolkit import check
from toolkit.check import Row, Table
from toolkit.model import KernelBase, PatchedFile, PatchedTree


def test_a_clean_series_is_a_clean_table() -> None:
    table = Table((Row("0001-a.patch", (), (), ()), Row("0002-b.patch", (), (), ())))
    assert table.exit_code == 0
    assert [line.split() for line in table.lines()[1:]] == [
        ["0001-a.patch", "yes", "clean", "yes", "clean"],
        ["0002-b.patch", "yes", "clean", "yes", "clean"],
    ]


def test_what_was_found_stands_below_the_table() -> None:
    table = Table(
        (
            Row("0001-a.patch", ("1: WARNING:LONG_LINE: too long",), (), ("a.c: unused 'x'",)),
            Row("0002-b.patch", (), ("the kernel does not build", "a.c:1: error"), ()),
        )
    )
    assert table.exit_code == 1
    lines = table.lines()
    assert lines[1].split() == ["0001-a.patch", "yes", "1", "yes", "1", "new"]
    assert lines[2].split() == ["0002-b.patch", "yes", "clean", "NO", "-"]
    assert "  a.c: unused 'x'" in lines
    assert "  a.c:1: error" in lines


def test_the_folder_that_compiles_virt_kvm_is_the_archs() -> None:
    base = KernelBase("tree:x", "6.12.1", Path("/nowhere"), "key")
    names = ("virt/kvm/a.c", "drivers/misc/b.c", "include/linux/c.h", "Documentation/d.rst")
    tree = PatchedTree(base, None, {name: PatchedFile(b"") for name in names}, "key")
    assert check._folders(tree, "x86") == ["arch/x86/kvm", "drivers/misc"]


def test_a_diagnostic_that_only_moved_is_not_new() -> None:
    def read(*lines: str) -> Counter[str]:
        return Counter(check._diagnostics(lines))

    before = read(
        "virt/kvm/a.c:10:5: warning: symbol 'x' was not declared. Should it be static?",
        "  CC      virt/kvm/a.o",
        "virt/kvm/a.c:12:9: note: see here",
    )
    after = read(
        "virt/kvm/a.c:99:5: warning: symbol 'x' was not declared. Should it be static?",
        "./include/linux/b.h:3: error: bad",
    )
    assert sorted(before) == ["virt/kvm/a.c: symbol 'x' was not declared. Should it be static?"]
    assert sorted(after - before) == ["./include/linux/b.h: bad"]
