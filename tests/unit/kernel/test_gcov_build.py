from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel import gcov_build

BASE = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), "base")
ON = "CONFIG_DEBUG_FS=y\nCONFIG_GCOV_KERNEL=y\n"
# How kbuild asks whether an object is to count (scripts/Makefile.lib in 6.12), and the two ways in
# which an object is called.
LIB = r"""
_c_flags += $(if $(patsubst n%,, \
		$(GCOV_PROFILE_$(notdir $@))$(GCOV_PROFILE)$(CONFIG_GCOV_PROFILE_ALL)),counts)
modkern_cflags = $(if $(filter %/eventfd.o,$@),$(CFLAGS_KERNEL),$(CFLAGS_MODULE))
"""
MAKEFILE = """
all:
\t@$(MAKE) --no-print-directory -f kvm.mk obj=arch/x86/kvm
\t@$(MAKE) --no-print-directory -f fs.mk obj=fs
"""
KVM = (
    LIB
    + """
objects := $(obj)/../../../virt/kvm/eventfd.o $(obj)/x86.o
$(objects): FORCE
\t@echo $@: $(_c_flags) $(modkern_cflags)
all: $(objects)
.DEFAULT_GOAL := all
FORCE:
"""
)
FS = KVM.replace("$(obj)/../../../virt/kvm/eventfd.o $(obj)/x86.o", "$(obj)/eventfd.o $(obj)/no.o")

# ring() is what another object would call; here main() does, which gcc inlines it into.
RING = """
static int rings;
static inline __attribute__((always_inline)) void inc(int *p)
{
    __asm__ volatile("" : "+m"(*p));
}
void ring(void)
{
    inc(&rings);
}
int main(int argc, char **argv)
{
    ring();
    return 0;
}
"""


def a_tree(**files: bytes | None) -> PatchedTree:
    found = {name: PatchedFile(content) for name, content in files.items()}
    return PatchedTree(BASE, None, found, "key")


def test_the_c_files_of_the_series_count_where_the_kernel_can() -> None:
    files = {
        "virt/kvm/eventfd.c": b"",
        "virt/kvm/a.c": b"",
        "virt/kvm/gone.c": None,
        "include/linux/a.h": b"",
        "Documentation/a.rst": b"",
        "x/$(shell touch y).c": b"",
    }
    tree = a_tree(**files)
    assert gcov_build.wanted(tree, ON) == ("virt/kvm/a", "virt/kvm/eventfd")
    assert gcov_build.wanted(tree, "CONFIG_DEBUG_FS=y\n# CONFIG_GCOV_KERNEL is not set\n") == ()


def test_a_file_that_another_one_includes_counts_with_that(tmp_path: Path) -> None:
    (tmp_path / "kernel/sched").mkdir(parents=True)
    for name, text in (
        ("build_policy.c", '#include <linux/sched.h>\n#include "idle.c"\n#  include "rt.c"\n'),
        ("build_utility.c", '#include "clock.c"\n/* "rt.c" */\n'),
        ("rt.c", "int x;\n"),
    ):
        (tmp_path / "kernel/sched" / name).write_text(text)
    base = KernelBase("tree:fake", "6.12.1", tmp_path, "base")
    tree = PatchedTree(base, None, {"kernel/sched/rt.c": PatchedFile(b"int y;\n")}, "key")
    assert gcov_build.wanted(tree, ON) == ("kernel/sched/build_policy", "kernel/sched/rt")


def test_make_switches_exactly_these_objects_on(tmp_path: Path) -> None:
    for name, text in (("Makefile", MAKEFILE), ("kvm.mk", KVM), ("fs.mk", FS)):
        (tmp_path / name).write_text(text)
    words = gcov_build.words(("fs/no", "virt/kvm/eventfd"))
    done = subprocess.run(
        ["make", "GCOV_PROFILE_no.o=n", *words], cwd=tmp_path, check=True, capture_output=True
    )
    assert done.stdout.decode().splitlines() == [
        "arch/x86/kvm/../../../virt/kvm/eventfd.o: counts -fno-early-inlining",
        "arch/x86/kvm/x86.o:",
        "fs/eventfd.o:",
        "fs/no.o: -fno-early-inlining",  # the tree says that it must not count
    ]


@pytest.mark.skipif(not (shutil.which("gcov") and shutil.which("gcc")), reason="no gcc with gcov")
def test_the_lines_of_a_function_that_gcc_inlines_count(tmp_path: Path) -> None:
    (tmp_path / "ring.c").write_text(RING)
    rule = "ring.o: ring.c\n\t@gcc -O2 --coverage $(CFLAGS_KERNEL) -c -o $@ $<\n"
    (tmp_path / "Makefile").write_text(rule)
    for command in (
        ["make", *gcov_build.words(("ring",))],
        ["gcc", "--coverage", "-o", "ring", "ring.o"],
        ["./ring"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["gcov", "--stdout", "ring.gcda"], cwd=tmp_path, check=True, capture_output=True
    )
    counts = {
        line.strip(): count.strip()
        for count, _, line in (text.split(":", 2) for text in done.stdout.decode().splitlines())
    }
    assert counts["void ring(void)"] == "1"


def test_too_much_for_a_command_line_is_the_callers_to_split() -> None:
    assert gcov_build.words(()) == []
    with pytest.raises(UserError, match="touches 9000 C files"):
        gcov_build.words([f"drivers/net/ethernet/{number:04}" for number in range(9000)])


def a_build_folder(root: Path) -> Path:
    """Write what kbuild leaves of a few objects: built in, in a module, stale, not counting."""
    names = b"init/main.o/\narch/x86/kvm/../../../virt/kvm/eventfd.o/\n"
    (root / "virt/kvm").mkdir(parents=True)
    (root / "drivers").mkdir()
    (root / "vmlinux.a").write_bytes(b"!<thin>\n//%46s%-10d`\n%b/other" % (b"", len(names), names))
    (root / "modules.order").write_text("drivers/two.o\n")
    (root / "drivers/two.mod").write_text("drivers/first.o\ndrivers/second.o\n")
    counting = ("virt/kvm/eventfd", "drivers/first", "virt/kvm/stale")
    for stem in (*counting, "drivers/second"):
        path = root / stem
        path.with_name(f"{path.name}.gcno").write_text(stem)
        flags = "-O2 -ftest-coverage" if stem in counting else "-O2"
        path.with_name(f".{path.name}.o.cmd").write_text(f"cmd := gcc {flags}\n-ftest-coverage")
    return root


def test_what_is_in_the_kernel_and_counts_is_kept(tmp_path: Path) -> None:
    output = a_build_folder(tmp_path / "out")
    entry = tmp_path / "entry"
    entry.mkdir()
    assert gcov_build.load(entry) is None
    asked = ("drivers/first", "drivers/second", "virt/kvm/eventfd", "virt/kvm/stale", "x/none")
    gcov_build.keep(asked, tmp_path / "src", output, entry, "gcov-11")
    found = gcov_build.load(entry)
    assert found is not None
    assert found.objects == ("drivers/first", "virt/kvm/eventfd")
    assert found.output == str(output.resolve())
    assert found.gcov == "gcov-11"
    assert (found.folder / "virt/kvm/eventfd.gcno").read_text() == "virt/kvm/eventfd"
    assert not (found.folder / "drivers/second.gcno").exists()


def test_a_kernel_without_modules(tmp_path: Path) -> None:
    output = a_build_folder(tmp_path / "out")
    (output / "modules.order").unlink()
    gcov_build.keep(("drivers/first", "virt/kvm/eventfd"), tmp_path, output, tmp_path, "gcov")
    found = gcov_build.load(tmp_path)
    assert found is not None
    assert found.objects == ("virt/kvm/eventfd",)
    assert found.gcov == "gcov"
