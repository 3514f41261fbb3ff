from __future__ import annotations

import pytest

from tests.unit.kernel.test_kbuild import a_tree
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


def test_an_edit_of_c_code_leaves_the_rules_as_they_are() -> None:
    assert build_rules.rules(a_tree()) == ""
    one = build_rules.rules(a_tree(Kconfig="a"))
    assert one
    assert build_rules.rules(a_tree("int edited;", Kconfig="a")) == one
    assert build_rules.rules(a_tree(Kconfig="b")) != one
