"""Suites of the kernel's own whose programs cannot all be linked statically."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from tests.unit.testing.test_suites import LIB_MK, SELFTESTS, Shop, patched
from toolkit.core.arch import X86_64
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError
from toolkit.core.model.kernel import KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.core.model.testing import TestProgram
from toolkit.formats import elf
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.make import Make
from toolkit.testing import guest_program, shared_libraries, suite_build

FOLDER = f"{SELFTESTS}/deep/good"
# As rseq's: a library of the suite's own, beside the programs.
MAKEFILE = """
TEST_GEN_PROGS := shared plain
TEST_PROGS := script.sh
TEST_LIBS := $(OUTPUT)/libown.so
all: $(TEST_LIBS)
$(OUTPUT)/libown.so: own.c
\t$(CC) -shared -fPIC $< -o $@
$(OUTPUT)/shared: shared.c $(OUTPUT)/libown.so
\t$(CC) $< -L$(OUTPUT) -lown -Wl,-rpath=./ -o $@
include ../lib.mk
install: libs
libs: all
\tmkdir -p $(INSTALL_PATH) && cp $(TEST_LIBS) $(INSTALL_PATH)/
"""
FILES = {
    f"{SELFTESTS}/lib.mk": LIB_MK,
    f"{SELFTESTS}/deep/lib.mk": LIB_MK,
    f"{FOLDER}/Makefile": MAKEFILE,
    f"{FOLDER}/own.c": "int answer(void) { return 42; }\n",
    f"{FOLDER}/shared.c": "int answer(void);\nint main(void) { return answer() - 42; }\n",
    f"{FOLDER}/plain.c": "int main(void) { return 0; }\n",
    f"{FOLDER}/script.sh": "#!/bin/sh\n./shared\n",
}
PLACE = "/kselftest/upstream-deep-good/.lib"
LOADER = "ld-linux-x86-64.so.2"
UNWINDER = "libgcc_s.so.1"  # which pthread_cancel() opens


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    return PatchedTree(make_base(tmp_path / "base", **FILES), None, {}, "key")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, tmp_path / "none")


def names(shop: Shop, tree: PatchedTree, program: str) -> set[str]:
    """Return what comes with a program into the guest."""
    built, _ = shop.build(tree)
    (chosen,) = (each for each in built.programs if each.name == program)
    return {path.name for path in guest_program.files(built, chosen)}


def test_what_has_a_library_of_its_own_takes_libc_along(shop: Shop, tree: PatchedTree) -> None:
    built, _ = shop.build(tree)
    assert [program.unbuilt for program in built.programs] == ["", "", ""]
    assert elf.wants((built.path / "plain").read_bytes()) == elf.Wants()
    wants = elf.wants((built.path / "shared").read_bytes())
    assert wants == elf.Wants(("libown.so", "libc.so.6"), f"{PLACE}/{LOADER}")
    libraries = built.path / guest_program.LIBRARIES
    assert {path.name for path in libraries.iterdir()} == {"libc.so.6", LOADER, UNWINDER}
    # As in the guest, but that the loader and the folder of the libraries lie elsewhere.
    argv = [str(libraries / LOADER), "--library-path", f"{libraries}:.", "./shared"]
    subprocess.run(argv, cwd=built.path, check=True)


def test_libraries_go_only_where_they_are_used(shop: Shop, tree: PatchedTree) -> None:
    assert ".lib" in names(shop, tree, "shared")
    assert ".lib" not in names(shop, tree, "plain")
    assert {".lib", "shared", "plain"} <= names(shop, tree, "script.sh")


def test_what_fails_either_way_says_why_it_did_the_second_time(
    shop: Shop, tree: PatchedTree
) -> None:
    broken = patched(tree, f"{FOLDER}/shared.c", "int main(void) { return lost; }\n")
    built, _ = shop.build(broken)
    shared, plain, _ = built.programs
    assert shared.unbuilt.count("shared.c:1:25: error") == 1
    assert plain.unbuilt == ""
    assert not (built.path / guest_program.LIBRARIES).exists()


# As exec's: some programs ask for a link mode themselves.
MODES = """
TEST_GEN_PROGS := plain pie static-pie
$(OUTPUT)/pie: plain.c
\t$(CC) -fPIE -pie $< -o $@
$(OUTPUT)/static-pie: plain.c
\t$(CC) -fPIE -static-pie $< -o $@
include ../lib.mk
"""


def test_a_program_is_linked_as_its_makefile_asks(shop: Shop, tree: PatchedTree) -> None:
    built, _ = shop.build(patched(tree, f"{FOLDER}/Makefile", MODES))
    data = [(built.path / name).read_bytes() for name in ("plain", "pie", "static-pie")]
    assert [each[16] for each in data] == [2, 3, 3]  # ET_EXEC, ET_DYN
    loader = f"{PLACE}/{LOADER}"
    assert [elf.wants(each).interpreter for each in data] == ["", loader, ""]


# As KVM's on arm64: headers are generated in the tree, unless it is told where else.
GENERATED = """
ifneq ($(abs_objdir),)
GENERATED := $(abs_objdir)/tools/generated
else
GENERATED := $(abspath ../../../../..)/tools/generated
endif
TEST_GEN_PROGS := plain
$(OUTPUT)/plain: plain.c $(GENERATED)
\t$(CC) -I$(GENERATED) $< -o $@
$(GENERATED):
\tmkdir $@ && echo 'int answer(void);' >$@/own.h
include ../lib.mk
"""


def test_headers_are_generated_beside_what_is_built(shop: Shop, tree: PatchedTree) -> None:
    changed = patched(tree, f"{FOLDER}/plain.c", '#include "own.h"\nint main(void) { return 0; }\n')
    built, _ = shop.build(patched(changed, f"{FOLDER}/Makefile", GENERATED))
    assert [program.unbuilt for program in built.programs] == [""]


ALSA = "Package alsa not found, please install alsa development package"


@pytest.mark.parametrize(
    ("makefile", "message"),
    [
        ("$(error cannot find a vmlinux)", "it does not build\nMakefile:1: *** cannot find a vm"),
        (f"$(error {ALSA})", "could not be built here: needs ALSA's library\nMakefile:1: "),
        ("all:\n\tfalse", "it does not build\nmake: *** [Makefile:2: all] Error 1"),
    ],
)
def test_a_makefile_that_lists_no_programs_costs_its_own_target_alone(
    shop: Shop, tree: PatchedTree, makefile: str, message: str
) -> None:
    (tree.base.path / FOLDER / "Makefile").write_text(f"{makefile}\n")
    # A header may have broken anything, and has not broken this.
    built, _ = shop.build(patched(tree, "include/linux/a.h", "#define A 2\n"))
    (program,) = built.programs
    assert (program.name, program.unbuilt[: len(message)]) == ("make", message)
    with pytest.raises(BuildError):
        shop.build(patched(tree, f"{FOLDER}/Makefile", "all:\n\tfalse\n"))


def test_a_target_for_another_architecture_has_no_programs(shop: Shop, tree: PatchedTree) -> None:
    (tree.base.path / FOLDER / "Makefile").write_text("nothing all install:\n")
    built, _ = shop.build(tree)
    assert built.programs == ()


def test_what_cannot_be_installed_costs_nothing_else(shop: Shop, tree: PatchedTree) -> None:
    makefile = "TEST_GEN_PROGS := plain\ninclude ../lib.mk\ninstall: lost\nlost: all\n\tfalse\n"
    (tree.base.path / FOLDER / "Makefile").write_text(makefile)
    built, _ = shop.build(tree)
    (plain,) = built.programs
    assert plain.unbuilt == ""
    assert (built.path / "plain").exists()
    assert shop.heard == ["upstream-deep-good: does not build, but is no test: lost"]


def test_names_of_libraries_lead_nowhere_else(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of a series may say that it needs any name."""
    loader = f"{PLACE}/{LOADER}"
    evil = elf.Wants(("../../../../etc/passwd", "/etc/passwd", "libnone.so.1"), loader)
    monkeypatch.setattr(
        elf, "wants", lambda data: evil if data == b"evil" else elf.Wants(("libc.so.6",))
    )
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "evil").write_bytes(b"evil")
    shared_libraries.gather(installed, "upstream-deep-good", shop.builder, soon())
    came = {str(path.relative_to(tmp_path)) for path in installed.rglob("*") if path.is_file()}
    libraries = {f"installed/.lib/{name}" for name in (LOADER, UNWINDER, "libc.so.6")}
    assert came == {"installed/evil"} | libraries


def test_the_recipe_is_a_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = suite_build.recipe(X86_64)
    monkeypatch.setattr(shared_libraries, "_flags", lambda *_: "other")
    assert suite_build.recipe(X86_64) != before


def test_a_damaged_program_takes_all_that_there_is_along(shop: Shop, tree: PatchedTree) -> None:
    """The kernel says what is wrong with it then, in the guest."""
    built, _ = shop.build(tree)
    damaged = built.path / "damaged"
    damaged.write_bytes((built.path / "shared").read_bytes()[:80])
    program = TestProgram(built.name, "damaged", 1)
    assert ".lib" in {path.name for path in guest_program.files(built, program)}


# As livepatch's and bpf's: modules against a kernel's build folder, and types out of its BTF.
OF_KERNEL = """
TEST_PROGS := script.sh
all: $(OUTPUT)/facts
$(OUTPUT)/facts:
\techo 'KDIR=$(KDIR)' 'BTF=$(VMLINUX_BTF)' "$$(cat $(KDIR)/built)" >$@
include ../lib.mk
install: facts
facts: all
\tcp $(OUTPUT)/facts $(INSTALL_PATH)/
"""


@pytest.mark.parametrize("types", [True, False])
def test_a_target_gets_the_build_folder_of_the_kernel_and_never_that_of_the_host(
    shop: Shop, tree: PatchedTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, types: bool
) -> None:
    built_kernel = tmp_path / "entry"
    built_kernel.mkdir()
    (built_kernel / "System.map").touch()
    (built_kernel / "config").write_text("CONFIG_DEBUG_INFO_BTF=y\n" * types)
    shop.kernel = replace(shop.kernel, path=built_kernel, config=built_kernel / "config")

    @contextlib.contextmanager
    def finished(
        builder: Builder, tree: PatchedTree, config: KernelConfig, deadline: Deadline, log: Path
    ) -> Iterator[tuple[WorkTree, Make]]:
        assert config.text == (built_kernel / "config").read_text()
        with builder.work_tree(tree, deadline) as work:
            output = work.folder / "out-kernel"
            output.mkdir(exist_ok=True)
            (output / "built").write_text(f"for {shop.kernel.key}")
            yield work, builder.make(work.source(), output, deadline, tree)

    monkeypatch.setattr(Builder, "finished", finished)
    other = patched(tree, f"{FOLDER}/Makefile", OF_KERNEL)
    built, cached = shop.build(other)
    assert not cached
    assert [program.unbuilt for program in built.programs] == [""]
    kdir, btf, *words = (built.path / "facts").read_text().split()
    assert kdir.startswith(f"KDIR={tmp_path}/cache/work/kernel/")
    assert btf == (f"{kdir.replace('KDIR', 'BTF')}/vmlinux" if types else "BTF=")
    assert words == ["for", "k"]
    assert built.programs[0].environment == {"KDIR": "."}
    assert shop.build(other)[1]
    shop.kernel = replace(shop.kernel, key="another kernel")
    built, cached = shop.build(other)
    assert not cached
    assert (built.path / "facts").read_text().endswith("for another kernel\n")
    assert shop.build(tree)[1] is False
    shop.kernel = replace(shop.kernel, key="a third")
    assert shop.build(tree)[1], "what reads no kernel's folder is the same for every kernel"


def test_a_target_that_reads_the_build_folder_cannot_be_tested_with_a_packaged_kernel(
    shop: Shop, tree: PatchedTree
) -> None:
    built, _ = shop.build(patched(tree, f"{FOLDER}/Makefile", OF_KERNEL))
    (script,) = built.programs
    assert script.unbuilt.endswith("needs a kernel that was built here, as --kernel debian:6.12 is")


def test_a_script_finds_the_helpers_of_kselftest_s_runner(shop: Shop, tree: PatchedTree) -> None:
    helpers = f"{SELFTESTS}/kselftest/ktap_helpers.sh"
    script = '#!/bin/sh\n. "$(dirname "$0")/../../kselftest/ktap_helpers.sh"\ngreet\n'
    other = patched(
        patched(tree, helpers, "greet() { echo found; }\n"), f"{FOLDER}/script.sh", script
    )
    built, _ = shop.build(other)
    (program,) = (each for each in built.programs if each.name == "script.sh")
    assert program.folder == "deep/good"
    there = built.path / program.folder / "script.sh"
    done = subprocess.run([there], capture_output=True, text=True, check=True)
    assert done.stdout == "found\n"
    files = {path.name for path in guest_program.files(built, program)}
    assert "kselftest" in files or "ktap_helpers.sh" in files
    (plain,) = (each for each in shop.build(tree)[0].programs if each.name == "script.sh")
    assert plain.folder == ""


def test_no_link_of_a_tree_takes_a_file_of_the_host_along(shop: Shop, tree: PatchedTree) -> None:
    runner = tree.base.path / SELFTESTS / "kselftest"
    runner.mkdir()
    (runner / "secret").symlink_to("/etc/passwd")
    (runner / "prefix.pl").touch()
    makefile = tree.base.path / FOLDER / "module/Makefile"
    makefile.parent.mkdir()
    makefile.symlink_to("/dev/zero")
    built, _ = shop.build(patched(tree, f"{FOLDER}/script.sh", "#!/bin/sh\n: ../kselftest/x\n"))
    assert [path.name for path in (built.path / "kselftest").iterdir()] == ["prefix.pl"]
