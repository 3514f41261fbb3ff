from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel import build_rules

COMPILED = [
    "virt/kvm/eventfd.c",
    "include/linux/kvm_host.h",
    "include/uapi/linux/kvm.h",
    "mm/slub.c",
    "arch/x86/entry/entry_64.S",
    "arch/x86/include/asm/kvm_host.h",
    "Documentation/virt/kvm/api.rst",
    "MAINTAINERS",
    "tools/testing/selftests/kvm/kvm_binary_stats_test.c",
    "drivers/base/generic.c",
    "kernel/sched/core.c",
    "arch/arm64/boot-wrapper.c",
    "lib/crc32.c",
    "net/core/dev.c",
    "arch/x86/kernel/cpu/common.c",
]
RUN = [
    "Makefile",
    "virt/kvm/Makefile.kvm",
    "drivers/misc/Kconfig",
    "Kbuild",
    "scripts/mod/modpost.c",
    "scripts/checksyscalls.sh",
    "tools/objtool/check.c",
    "tools/lib/string.c",
    "usr/gen_init_cpio.c",
    "lib/gen_crc32table.c",
    "lib/raid6/mktables.c",
    "arch/x86/entry/vdso/vdso2c.c",
    "arch/x86/boot/mkcpustr.c",
    "drivers/tty/vt/conmakehash.c",
    "drivers/gpu/drm/xe/xe_gen_wa_oob.c",
    "certs/extract-cert.c",
    "security/selinux/genheaders.c",
    "drivers/gpu/drm/radeon/mkregtable.c",
    "arch/x86/tools/relocs.c",
    "include/uapi/linux/elf.h",
    "arch/x86/include/asm/cpufeatures.h",
    "lib/crc32defs.h",
    "include/linux/crc32poly.h",
    "kernel/gen_kheaders.sh",
    "arch/x86/entry/syscalls/syscall_64.tbl",
    "tools/testing/selftests/lib.mk",
    "tools/testing/selftests/kvm/Makefile.kvm",
    "arch/arm64/kvm/hyp/nvhe/gen-hyprel.c",
    "lib/build_OID_registry",
    "init/strange",
]


@pytest.mark.parametrize("path", COMPILED)
def test_what_is_only_compiled_or_read_is_not_run(path: str) -> None:
    assert not build_rules.run_on_host(path)


@pytest.mark.parametrize("path", RUN)
def test_what_a_build_runs_and_what_is_not_known_is(path: str) -> None:
    assert build_rules.run_on_host(path)


@pytest.fixture
def base(tmp_path: Path) -> KernelBase:
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers/Makefile").write_text(MAKEFILE)
    (tmp_path / "drivers/Kconfig").write_text(KCONFIG)
    (tmp_path / "drivers/gen.sh").write_text("echo\n")
    return KernelBase("tree:fake", "6.12.1", tmp_path, "base")


def patched(base: KernelBase, **files: str | None) -> PatchedTree:
    """Return a tree in whose drivers/ a series puts files; ``__`` stands for a dot."""
    contents = {
        f"drivers/{name.replace('__', '.')}": PatchedFile(None if text is None else text.encode())
        for name, text in files.items()
    }
    return PatchedTree(base, None, contents, f"{contents}")


MAKEFILE = """# SPDX-License-Identifier: GPL-2.0
obj-y += a.o \\
\tb.o
$(obj)/table.h: $(src)/gen.sh
\t$(call cmd,gen)
"""
KCONFIG = """config A
\tbool "A"
\tdefault $(cc-option,-fa)
"""
LISTING = [
    "obj-$(CONFIG_DOORBELL)\t\t+= doorbell.o",
    "kvm-$(CONFIG_HAVE_KVM_IOSIGNALFD) += $(KVM)/iosignalfd.o",
    "obj-m := c.o d/ e/f.o # two of them",
    "c-objs := c-core.o c-v1.2.o",
    "# more",
    "",
    "ifdef CONFIG_C",
    "ifneq ($(CONFIG_C),)",
    "else",
    "endif",
    "obj-y += c.o \\\n d.o",
]
RUNNING = [
    "obj-y += $(shell touch /tmp/x)",
    "obj-y += c.o $(shell touch /tmp/x)",
    "obj-y += ../scripts/c.o",
    "obj-y += /tmp/c.o",
    "obj-y != touch /tmp/x",
    "ccflags-y += -fplugin=c.so",
    "always-y += c",
    "hostprogs := c",
    "SHELL := c.o",
    "include c.txt",
    "$(eval x)",
    "ifeq ($(shell touch /tmp/x),)",
    "c.o: d.o",
    "\tobj-y += c.o",
    "\ttouch /tmp/x",
    "# \\\\\n$(shell touch /tmp/x)",  # which make reads as two lines
    "define cmd_gen",
]


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("line", LISTING)
def test_a_line_that_lists_objects_runs_nothing(base: KernelBase, line: str, at: int) -> None:
    lines = MAKEFILE.splitlines(keepends=True)
    text = "".join([*lines[:at], f"{line}\n", *lines[at:]])
    assert build_rules.rules(patched(base, Makefile=text)) == ""


@pytest.mark.parametrize("line", RUNNING)
def test_a_makefile_s_other_lines_may_run_something(base: KernelBase, line: str) -> None:
    first, rest = MAKEFILE.split("\n", 1)
    assert build_rules.rules(patched(base, Makefile=f"{first}\n{line}\n{rest}"))


def test_what_goes_from_a_makefile_counts_and_so_does_its_order(base: KernelBase) -> None:
    lines = MAKEFILE.splitlines(keepends=True)
    assert build_rules.rules(patched(base, Makefile="".join([lines[0], *lines[3:]]))) == ""
    assert build_rules.rules(patched(base, Makefile="".join(lines[:4])))
    assert build_rules.rules(patched(base, Makefile="".join([*lines[:3], lines[4], lines[3]])))
    hidden = "".join([*lines[:3], "# \\\n", *lines[3:]])  # a rule becomes part of a comment
    assert build_rules.rules(patched(base, Makefile=hidden))
    assert build_rules.rules(patched(base, Makefile=None))


@pytest.mark.parametrize(
    "text",
    [
        'config B\n\ttristate "Doorbell (in KVM\'s way), v1.2"\n\tdepends on EVENTFD && A != n\n',
        "config B\n\tdef_bool y\n\tselect A if !C\n\thelp\n\t  It says: 5 < 6; and so on.\n",
        'source "drivers/b/Kconfig"\nsource "drivers/b/Kconfig.debug"\n',
        "config B\n\tint\n\tdefault 5\n\trange 1 9\n",
    ],
)
def test_an_option_runs_nothing(base: KernelBase, text: str) -> None:
    assert build_rules.rules(patched(base, Kconfig=KCONFIG + text)) == ""
    assert build_rules.rules(patched(base, Kconfig__b=text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "\tdefault $(shell,touch /tmp/x)\n",
        "cc-option = y\n",
        "B := y\n",
        "\tdepends on A \\\n",
        '\tdefault "`touch /tmp/x`"\n',  # .config is read by make and by the shell
        "\tdefault 'x;touch y'\n",
        'source "drivers/code.c"\n',
        'source "../Kconfig"\n',
        'orsource "/tmp/Kconfig"\n',
    ],
)
def test_what_kconfig_expands_may_run_something(base: KernelBase, text: str) -> None:
    assert build_rules.rules(patched(base, Kconfig=KCONFIG + text))
    assert build_rules.rules(patched(base, Kconfig__b=text))


def test_a_file_that_is_run_counts_by_its_content(base: KernelBase) -> None:
    assert build_rules.rules(patched(base, gen__sh="echo\n")) == ""
    assert build_rules.rules(patched(base, gen__sh="touch /tmp/x\n"))
    assert build_rules.rules(patched(base, gen__sh=None))


def test_an_edit_of_c_code_leaves_the_rules_as_they_are(base: KernelBase) -> None:
    assert build_rules.rules(patched(base)) == ""
    one = build_rules.rules(patched(base, gen__sh="touch"))
    assert one
    assert build_rules.rules(patched(base, gen__sh="touch", code__c="int edited;")) == one
    assert build_rules.rules(patched(base, gen__sh="rm")) != one


def test_the_tree_s_selftests_take_part_in_no_build_but_their_own(base: KernelBase) -> None:
    file = PatchedFile(b"touch /tmp/x")
    tree = PatchedTree(base, None, {"tools/testing/selftests/kvm/run.sh": file}, "key")
    assert build_rules.rules(tree) == ""
    assert build_rules.rules(tree, selftests=True)
