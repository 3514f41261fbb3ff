from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel.prebuilt import includes, reach
from toolkit.kernel.prebuilt.objects import Objects

FILES = {
    "arch/x86/kvm/Makefile": "include $(srctree)/virt/kvm/Makefile.kvm\nkvm-y += x86.o\n",
    "arch/x86/kvm/x86.c": "#include <linux/kvm_host.h>\n",
    "arch/x86/kvm/kvm-asm-offsets.c": "#include <linux/kvm_host.h>\n",
    "virt/kvm/eventfd.c": "#include <linux/kvm_host.h>\n",
    "include/linux/kvm_host.h": "struct kvm;\n",
    "include/linux/sched.h": "struct task_struct;\n",
    "include/linux/lonely.h": "int x;\n",
    "kernel/Makefile": "obj-y += fork.o entry.o\n",
    "kernel/fork.c": "#include <linux/sched.h>\n",
    "kernel/entry.c": "#include <linux/kvm_host.h>\n",
    "kernel/off.c": "#include <linux/kvm_host.h>\n",
    "kernel/gen.c": "int gen;\n",
    "arch/x86/kernel/Makefile": "obj-y += x.o\n",
    "arch/x86/kernel/asm-offsets.c": "#include <linux/sched.h>\n",
    "arch/x86/boot/main.c": "#include <linux/sched.h>\n",
    "lost/Makefile": "$(error)\n",
    "lost/lost.c": "int lost;\n",
}
KVM = {"arch/x86/kvm/kvm": "arch/x86/kvm"}
_KVM_PARTS = ("arch/x86/kvm/kvm.o", "arch/x86/kvm/x86.o", "virt/kvm/eventfd.o", "virt/kvm/new.o")
OBJECTS = {
    "arch/x86/kvm": Objects(
        frozenset(),
        {"arch/x86/kvm/kvm": frozenset(_KVM_PARTS)},
        frozenset({"arch/x86/kvm/kvm-asm-offsets"}),
    ),
    "kernel": Objects(
        frozenset({"kernel/fork.o", "kernel/entry.o", "kernel/new.o"}),
        {},
        frozenset({"kernel/gen"}),
    ),
    "arch/x86/kernel": Objects(frozenset({"arch/x86/kernel/x.o"}), {}, frozenset()),
    "lost": None,
}


def find(tmp_path: Path, changes: dict[str, str | None], *new_options: str) -> reach.Reach:
    base = make_base(tmp_path / "base", **FILES)
    files = {
        path: PatchedFile(None if text is None else text.encode()) for path, text in changes.items()
    }
    included = includes.scan(base.path, "x86")
    included |= {
        path: includes.of_text(file.content)
        for path, file in files.items()
        if file.content is not None and includes.is_source(path, "x86")
    }
    makefiles = {path: text for path, text in FILES.items() if path.endswith("Makefile")}
    tree = reach.Tree(
        PatchedTree(base, None, files, "key"), "x86", included, OBJECTS.get, makefiles
    )
    return reach.find(tree, new_options)


@pytest.mark.parametrize("path", ["arch/x86/kvm/x86.c", "virt/kvm/eventfd.c"])
def test_a_file_of_a_module_reaches_that_module(tmp_path: Path, path: str) -> None:
    assert find(tmp_path, {path: "int x;\n"}) == reach.Reach(KVM, frozenset())


def test_a_header_reaches_modules_and_what_of_the_kernel_reads_it_is_compared(
    tmp_path: Path,
) -> None:
    found = find(tmp_path, {"include/linux/kvm_host.h": "struct kvm { int x; };\n"})
    assert found == reach.Reach(KVM, frozenset({"kernel/entry.o"}))  # and off.c is not built


def test_a_new_file_of_a_module_comes_with_its_header_and_its_option(tmp_path: Path) -> None:
    line = "kvm-$(CONFIG_NEW) += ../../../virt/kvm/new.o"
    changes = {
        "virt/kvm/new.c": '#include "new.h"\n',
        "virt/kvm/new.h": "int new;\n",
        "arch/x86/kvm/Kconfig": "config NEW\n",
        "Documentation/virt/kvm/api.rst": "text",
        "MAINTAINERS": "M: x\n",
        "tools/testing/selftests/kvm/x.c": "int x;\n",
        "arch/arm64/kvm/arm.S": "nop\n",
        "arch/x86/kvm/Makefile": f"{FILES['arch/x86/kvm/Makefile']}\n# new\n{line}\n",
    }
    assert find(tmp_path, dict(changes), "CONFIG_NEW").modules == KVM
    with pytest.raises(reach.ReachError, match="a line that may change more than modules: kvm-"):
        find(tmp_path / "other", dict(changes))


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("include/linux/sched.h", "x\n", r"asm-offsets.c|arch/x86/boot/main.c"),
        ("include/linux/lonely.h", "x\n", "who reads include/linux/lonely.h is not known"),
        ("include/linux/kvm_host.h", None, "another file may be found in its place"),
        ("kernel/new.c", "int x;\n", "kernel/new.c is new in the kernel itself"),
        ("kernel/gen.c", "int y;\n", "what is made of it is not known"),
        ("lost/lost.c", "int y;\n", "what the Makefile in lost makes cannot be told"),
        ("scripts/mod/modpost.c", "x\n", "what is made of scripts/mod/modpost.c is not known"),
        ("arch/x86/entry/syscalls/syscall_64.tbl", "1\n", "syscall_64.tbl is not known"),
        ("arch/x86/kvm/Makefile", "kvm-y += y.o\n", "a line that may change more"),
        ("arch/x86/kvm/Makefile", "", "has lost a line: include"),
        ("arch/x86/kvm/Makefile", f"{FILES['arch/x86/kvm/Makefile']}ccflags-y += -O0\n", "-O0"),
    ],
)
def test_whatever_may_be_more_than_modules_is_refused(
    tmp_path: Path, path: str, text: str | None, why: str
) -> None:
    with pytest.raises(reach.ReachError, match=why):
        find(tmp_path, {path: text})


def test_a_file_of_the_kernel_itself_is_compared(tmp_path: Path) -> None:
    found = find(tmp_path, {"kernel/fork.c": "/* a comment */\n#include <linux/sched.h>\n"})
    assert found == reach.Reach({}, frozenset({"kernel/fork.o"}))


def test_what_no_build_reads_reaches_nothing(tmp_path: Path) -> None:
    assert find(tmp_path, {"Documentation/x.rst": "x", "kernel/off.c": "int off;\n"}) == (
        reach.Reach({}, frozenset())
    )
