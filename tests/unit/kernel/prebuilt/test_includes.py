from __future__ import annotations

from pathlib import Path

from tests.unit.fake_tree import make_tree
from toolkit.kernel.prebuilt import includes

FILES = {
    "include/linux/kvm_host.h": "#include <linux/kvm.h>\n# include <asm/kvm_host.h>\n",
    "include/uapi/linux/kvm.h": "/* user space */\n",
    "arch/x86/include/asm/kvm_host.h": '#include "nothing.h"\n',
    "arch/arm64/include/asm/kvm_host.h": "\n",
    "arch/arm64/kvm/arm.c": "#include <linux/kvm_host.h>\n",
    "arch/x86/kvm/x86.c": '#include <linux/kvm_host.h>\n#include "trace.h"\n',
    "arch/x86/kvm/trace.h": "\n",
    "drivers/a/trace.h": "\n",
    "drivers/a/a.c": '#include "trace.h"\n  #  include  <linux/kvm.h>\n',
    "drivers/b/deep/b.c": '#include "trace.h"\n#include "../b.h"\n',  # an -I says which trace.h
    "drivers/b/b.h": "\n",
    "tools/testing/t.c": "#include <linux/kvm.h>\n",
    "kernel/fork.c": '// #include <linux/kvm.h>\nchar s[] = "#include";\n',
}


def readers(tmp_path: Path, *changed: str) -> set[str]:
    if not tmp_path.joinpath("Makefile").exists():
        make_tree(tmp_path, **FILES)
    including = includes.reverse(includes.scan(tmp_path, "x86"), "x86")
    found = includes.readers(including, changed)
    return {path for path in found if path in FILES} - set(changed)


def test_readers_are_found_through_other_headers(tmp_path: Path) -> None:
    assert readers(tmp_path, "include/uapi/linux/kvm.h") == {
        "include/linux/kvm_host.h",
        "arch/x86/kvm/x86.c",
        "drivers/a/a.c",
    }
    assert readers(tmp_path, "arch/x86/include/asm/kvm_host.h") == {
        "include/linux/kvm_host.h",
        "arch/x86/kvm/x86.c",
    }


def test_the_header_beside_its_reader_comes_first_and_else_any_may_be_meant(
    tmp_path: Path,
) -> None:
    assert readers(tmp_path, "drivers/a/trace.h") == {"drivers/a/a.c", "drivers/b/deep/b.c"}
    assert readers(tmp_path, "arch/x86/kvm/trace.h") == {
        "arch/x86/kvm/x86.c",
        "drivers/b/deep/b.c",
    }
    assert readers(tmp_path, "drivers/b/b.h") == {"drivers/b/deep/b.c"}


def test_a_file_that_nobody_includes_has_no_reader(tmp_path: Path) -> None:
    assert readers(tmp_path, "kernel/fork.c") == set()


def test_other_architectures_and_user_space_read_nothing_of_a_kernel() -> None:
    assert includes.is_source("arch/x86/kvm/x86.c", "x86")
    assert includes.is_source("include/linux/kvm.h", "x86")
    assert not includes.is_source("arch/arm64/kvm/arm.c", "x86")
    assert not includes.is_source("tools/kvm/x.c", "x86")
    assert not includes.is_source("virt/kvm/Kconfig", "x86")
