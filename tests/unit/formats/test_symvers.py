from __future__ import annotations

import pytest

from toolkit.formats import symvers

DEBIAN = (
    "0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"
    "0x0000000a\tkvm_get_kvm\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
    "0x0000000b\tkvm_put_kvm\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\tKVM\n"
    "0x0000000c\tvfio_register\tdrivers/vfio/vfio\tEXPORT_SYMBOL\t\n"
)


def test_exports_are_read() -> None:
    exports = symvers.parse(DEBIAN)
    assert exports["printk"] == symvers.Export(1, symvers.VMLINUX)
    assert exports["kvm_put_kvm"] == symvers.Export(0xB, "arch/x86/kvm/kvm")
    assert symvers.parse("") == {}


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "",
        "printk 0x1 vmlinux",
        "zz\tprintk\tvmlinux\tEXPORT_SYMBOL\t",
        "-0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t",
        "0x123456789\tprintk\tvmlinux\tEXPORT_SYMBOL\t",
        "0x00000001\tprintk\tvmli",  # cut short
        "0x00000001\tprintk\t\tvmlinux\tEXPORT_SYMBOL",  # of 5.4, where a namespace came third
    ],
)
def test_another_form_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 5 is no export of Module\.symvers: "):
        symvers.parse(f"{DEBIAN}{line}\n")


def test_only_what_the_built_modules_export_can_have_changed() -> None:
    before, kvm = symvers.parse(DEBIAN), ["arch/x86/kvm/kvm"]
    built = "0x0000000a\tkvm_get_kvm\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
    other = built + "0x0000ffff\tkvm_put_kvm\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
    same = built + "0x0000000b\tkvm_put_kvm\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
    more = same + "0x00000123\tkvm_new\tarch/x86/kvm/kvm\tEXPORT_SYMBOL_GPL\t\n"
    assert symvers.changed(before, symvers.parse(same), kvm) == set()
    assert symvers.changed(before, symvers.parse(more), kvm) == set()  # nobody can use it yet
    assert symvers.changed(before, symvers.parse(other), kvm) == {"kvm_put_kvm"}
    assert symvers.changed(before, symvers.parse(built), kvm) == {"kvm_put_kvm"}
    assert symvers.changed(before, {}, kvm) == {"kvm_get_kvm", "kvm_put_kvm"}


def test_what_some_modules_export_can_be_left_out() -> None:
    rest = symvers.without(DEBIAN, ["arch/x86/kvm/kvm"])
    assert [line.split("\t")[1] for line in rest.splitlines()] == ["printk", "vfio_register"]
    assert symvers.without(DEBIAN, []) == DEBIAN
