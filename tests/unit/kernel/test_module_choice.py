from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel import module_choice

KVM = r"""
ccflags-$(CONFIG_KVM_WERROR) += -Werror
include $(srctree)/virt/kvm/Makefile.kvm
kvm-y += x86.o emulate.o \
 mmu/mmu.o
kvm-$(CONFIG_KVM_XEN) += xen.o
kvm-intel-y += vmx/vmx.o
obj-$(CONFIG_KVM_X86) += kvm.o
obj-$(CONFIG_KVM_INTEL) += kvm-intel.o # vendor
"""
MISC = """
obj-$(CONFIG_IBM_ASM) += ibmasm/
obj-$(CONFIG_PHANTOM) += phantom.o
obj-$(CONFIG_LKDTM) += lkdtm.o
lkdtm-objs := core.o bugs.o
obj-y += always.o
"""


@pytest.mark.parametrize(
    ("makefile", "stem", "options"),
    [
        (KVM, "emulate", {"CONFIG_KVM_X86"}),
        (KVM, "mmu", {"CONFIG_KVM_X86"}),
        (KVM, "xen", {"CONFIG_KVM_X86"}),
        (KVM, "vmx", {"CONFIG_KVM_INTEL"}),
        (KVM, "kvm-intel", {"CONFIG_KVM_INTEL"}),
        (KVM, "eventfd", set()),  # an included Makefile's
        (KVM, "", {"CONFIG_KVM_X86", "CONFIG_KVM_INTEL"}),
        (MISC, "phantom", {"CONFIG_PHANTOM"}),
        (MISC, "bugs", {"CONFIG_LKDTM"}),
        (MISC, "always", set()),
        (MISC, "", {"CONFIG_PHANTOM", "CONFIG_LKDTM"}),
        ("", "", set()),
    ],
)
def test_the_options_that_build_an_object(makefile: str, stem: str, options: set[str]) -> None:
    assert module_choice.options_of(makefile, stem) == options


def test_parts_that_go_in_circles_have_an_end() -> None:
    assert module_choice.options_of("a-y := b.o\nb-y := a.o\n", "a") == set()
    assert module_choice.modules_of("a-y := b.o\nb-y := a.o\n", "a") == {}


@pytest.mark.parametrize(
    ("makefile", "stem", "modules"),
    [
        (KVM, "mmu", {"kvm": {"CONFIG_KVM_X86"}}),
        (KVM, "xen", {"kvm": {"CONFIG_KVM_X86", "CONFIG_KVM_XEN"}}),
        (MISC, "phantom", {"phantom": {"CONFIG_PHANTOM"}}),
        (MISC, "always", {"always": set()}),
        (MISC, "nothing", {}),
        (
            "obj-$(CONFIG_A) += a.o\nobj-m += b.o\na-objs := part.o\nb-${CONFIG_T} += part.o\n",
            "part",
            {"a": {"CONFIG_A"}, "b": {"CONFIG_T"}},
        ),
    ],
)
def test_the_modules_that_an_object_goes_into(
    makefile: str, stem: str, modules: dict[str, set[str]]
) -> None:
    assert module_choice.modules_of(makefile, stem) == modules


@pytest.mark.parametrize(
    ("makefile", "options"),
    [
        ("obj-$(CONFIG_A) += a.o", set()),
        ("ifeq ($(CONFIG_A),y)\nobj-y += a.o\nendif", {"CONFIG_A"}),
        ("ifeq (${CONFIG_A}, y)\nifdef B\nobj-y += a.o\nendif\nendif", {"CONFIG_A"}),
        ("ifeq ($(CONFIG_A),y)\nendif\nobj-y += a.o", set()),
        ("ifeq ($(CONFIG_A),y)\nelse\nobj-y += a.o\nendif", set()),
        ("ifeq ($(CONFIG_A),m)\nobj-y += a.o\nendif", set()),
        ("ifeq ($(CONFIG_A),y)\nobj-y += a.o\nendif\nobj-$(CONFIG_B) += a.o", set()),
        ("endif\nelse\nobj-y += b.o", set()),
    ],
)
def test_what_a_makefile_builds_in_alone(makefile: str, options: set[str]) -> None:
    assert module_choice.built_in_alone(makefile, "a") == options


def test_the_options_on_which_kbuild_enters_a_folder(tmp_path: Path) -> None:
    base = make_base(
        tmp_path / "tree",
        **{
            "Kbuild": "obj-y += net/\nobj-$(CONFIG_A) += a/\nobj-$(CONFIG_B) += a/\n",
            "net/Makefile": "obj-$(CONFIG_X) += x/\nobj-y += y/ # obj-$(CONFIG_Z) += z/\n",
            "net/x/Makefile": "obj-$(CONFIG_D) += deep/er/\n",
            "net/x/deep/Makefile": "",
        },
    )
    tree = PatchedTree(base, None, {}, "key")
    for folder, options in {
        "net": set(),
        "net/x": {"CONFIG_X"},
        "net/y": set(),
        "net/x/deep/er": {"CONFIG_X", "CONFIG_D"},
        "a": set(),  # one of two, or both
        "absent": set(),
        ".": set(),
    }.items():
        assert module_choice.options_of_folder(tree, folder) == options, folder


def test_what_a_series_touches(tmp_path: Path) -> None:
    makefiles = {"arch/x86/kvm/Makefile": KVM, "drivers/misc/Kbuild": MISC}
    base = make_base(tmp_path / "tree", **makefiles)

    def touched(*names: str, **contents: str | None) -> set[str]:
        files = {name: PatchedFile(b"") for name in names}
        for name, text in contents.items():
            files[name] = PatchedFile(None if text is None else text.encode())
        return set(module_choice.touched(PatchedTree(base, None, files, "key"), "x86"))

    assert touched("drivers/misc/phantom.c") == {"CONFIG_PHANTOM"}
    # Of virt/kvm's files the Makefile that includes theirs says nothing, so all of it counts.
    assert touched("virt/kvm/eventfd.c") == {"CONFIG_KVM_X86", "CONFIG_KVM_INTEL"}
    assert touched("include/linux/kvm.h", "Documentation/x.rst", "fs/none.c") == set()
    gone = {"drivers/misc/phantom.c": None}
    assert touched(**gone) == set()
    new = {"drivers/misc/Kbuild": "obj-$(CONFIG_NEW) += phantom.o\n"}
    assert touched("drivers/misc/phantom.c", **new) == {"CONFIG_NEW"}


def test_what_is_needed_has_what_it_depends_on() -> None:
    config = {"CONFIG_KVM_AMD": "m", "CONFIG_KVM": "m", "CONFIG_VIRT": "y", "CONFIG_SND": "m"}
    guards = {"CONFIG_KVM_AMD": {"CONFIG_KVM"}, "CONFIG_KVM": {"CONFIG_VIRT", "CONFIG_KVM_AMD"}}
    keep = module_choice.needed(config, ["CONFIG_KVM_AMD", "CONFIG_ABSENT"], guards)
    assert keep == {"CONFIG_KVM_AMD", "CONFIG_KVM"}
    assert module_choice.without(config, keep) == ["CONFIG_SND"]


def test_what_is_built_for_an_option_goes_by_its_name() -> None:
    assert module_choice.made_for(KVM, {"CONFIG_KVM_INTEL", "CONFIG_OTHER"}) == {"kvm-intel"}
    assert module_choice.made_for(KVM, {"CONFIG_KVM_XEN"}) == set()  # a part, and no module
    assert module_choice.made_for(MISC, {"CONFIG_LKDTM", "CONFIG_PHANTOM"}) == {"lkdtm", "phantom"}
