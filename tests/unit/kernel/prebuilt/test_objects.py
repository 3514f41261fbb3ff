from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree, soon
from toolkit.kernel.prebuilt import objects

KBUILD_INCLUDE = "dot-target = $(@D)/.$(@F)\n"
KVM = """
KVM ?= ../../../virt/kvm
include $(srctree)/virt/kvm/Makefile.kvm
kvm-y += $(KVM)/kvm_main.o x86.o
kvm-$(CONFIG_KVM_EXTRA) += extra.o
kvm-intel-objs := vmx/vmx.o
obj-$(CONFIG_KVM) += kvm.o
obj-$(CONFIG_KVM_INTEL) += kvm-intel.o
obj-$(CONFIG_KVM_OFF) += off.o
targets += kvm-asm-offsets.s
"""
ENTRY = """
obj-y += common.o sub/
obj-$(CONFIG_KVM) += modular.o
obj-y += many.o
many-y := one.o two.o
extra-y := head.lds
hostprogs := tool
tool-objs := tool.o helper.o
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A tree, and a build folder with a configuration."""
    source, output = tmp_path / "src", tmp_path / "out"
    files = {
        "scripts/Kbuild.include": KBUILD_INCLUDE,
        "arch/x86/kvm/Makefile": KVM,
        "virt/kvm/Makefile.kvm": "kvm-y := $(KVM)/eventfd.o\n",
        "kernel/entry/Kbuild": ENTRY,
        "kernel/entry/Makefile": "$(error kbuild takes the other one)\n",
        "broken/Makefile": "$(error no)\n",
    }
    make_tree(source, **files)
    (output / "include/config").mkdir(parents=True)
    options = "CONFIG_KVM=m\nCONFIG_KVM_INTEL=m\nCONFIG_KVM_EXTRA=y\n"
    (output / "include/config/auto.conf").write_text(options)
    return source, output


def test_a_module_is_listed_with_its_objects(places: tuple[Path, Path]) -> None:
    listed = objects.listed(*places, "arch/x86/kvm", "x86", soon())
    assert listed is not None
    kvm = "arch/x86/kvm/kvm"
    parts = {f"{kvm}.o", "virt/kvm/eventfd.o", "virt/kvm/kvm_main.o"}
    parts |= {"arch/x86/kvm/x86.o", "arch/x86/kvm/extra.o"}
    assert listed.modules == {
        kvm: parts,
        f"{kvm}-intel": {f"{kvm}-intel.o", "arch/x86/kvm/vmx/vmx.o"},
    }
    assert listed.builtin == set()
    assert "arch/x86/kvm/kvm-asm-offsets" in listed.others


def test_what_is_in_the_kernel_and_what_is_neither_are_told_apart(
    places: tuple[Path, Path],
) -> None:
    listed = objects.listed(*places, "kernel/entry", "x86", soon())
    assert listed is not None
    names = ("common", "many", "one", "two")
    assert listed.builtin == {f"kernel/entry/{name}.o" for name in names}
    assert listed.modules == {"kernel/entry/modular": {"kernel/entry/modular.o"}}
    assert {f"kernel/entry/{name}" for name in ("head.lds", "tool", "helper")} <= listed.others


def test_a_makefile_that_needs_more_cannot_be_told(places: tuple[Path, Path]) -> None:
    assert objects.listed(*places, "broken", "x86", soon()) is None
