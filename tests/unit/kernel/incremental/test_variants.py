"""Variants of a C file beside a build that a real compiler made, as kbuild would have it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.errors import BuildError
from toolkit.kernel import build_identity
from toolkit.kernel.incremental import ChangeLog, Variants
from toolkit.kernel.make import Make
from toolkit.kernel.toolchain import GCC

CONFIG = "CONFIG_MODULES=y\n"
SOURCE = '#include "a.h"\nint helper(int);\nint limit(int n) { return helper(n) < A; }\n'
EXPORTED = "0x0\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n0x0\thelper\tkvm/kvm\tEXPORT_SYMBOL\t\n"


class Built:
    """A tree and its build folder, with the module kvm of two objects and one of a single one."""

    def __init__(self, root: Path) -> None:
        self.source, self.output = root / "src", root / "out"
        for folder in (self.source / "virt", self.output / "kvm", self.output / "virt"):
            folder.mkdir(parents=True)
        (self.output / "lib").mkdir()
        (self.source / "virt/a.h").write_text("#define A 3\n")
        (self.source / "virt/eventfd.c").write_text(SOURCE)
        (self.source / "virt/b.c").write_text("int helper(int n) { return n; }\n")
        (self.source / "virt/one.c").write_text("int one(void) { return 1; }\n")
        self.compiled("kvm/../virt/eventfd.o", f"{self.source}/kvm/../virt/eventfd.c")
        self.compiled("kvm/../virt/b.o", f"{self.source}/kvm/../virt/b.c")
        self.compiled("lib/one.o", f"{self.source}/virt/one.c")
        (self.source / "kvm").mkdir()
        (self.output / "kvm/kvm.mod").write_text("kvm/../virt/eventfd.o\nkvm/../virt/b.o\n")
        (self.output / "lib/one.mod").write_text("lib/one.o\n")
        (self.output / "modules.order").write_text("kvm/kvm.o\nlib/one.o\n")
        (self.output / "Module.symvers").write_text(EXPORTED)
        self.linked("kvm/kvm.o", "ld -r -o kvm/kvm.o @kvm/kvm.mod ")
        self.linked("kvm/kvm.ko", "ld -r --build-id=sha1 -o kvm/kvm.ko kvm/kvm.o; true")
        self.linked("lib/one.ko", "ld -r -o lib/one.ko lib/one.o")
        for target in ("kvm/../virt/eventfd.o", "kvm/../virt/b.o", "lib/one.o"):
            self.shell(self.command(target))
        for target in ("kvm/kvm.o", "kvm/kvm.ko", "lib/one.ko"):
            self.shell(self.command(target))
        ChangeLog(self.source).begin()

    def record(self, target: str) -> Path:
        place = self.output / target
        return place.with_name(f".{place.name}.cmd")

    def compiled(self, target: str, source: str) -> None:
        place = Path(target)
        depends = place.with_name(f".{place.name}.d")
        command = (
            f"gcc -Wp,-MMD,{depends} -g -Os -Wall -Werror -c -o {target} {source}  ; true {target}"
        )
        self.record(target).write_text(
            f"savedcmd_{target} := {command}\n\nsource_{target} := {source}\n\n"
            f"deps_{target} := x.h\n"
        )

    def linked(self, target: str, command: str) -> None:
        self.record(target).write_text(f"savedcmd_{target} := {command}\n")

    def command(self, target: str) -> str:
        match = re.match(r"savedcmd_\S+ := (.*)", self.record(target).read_text())
        assert match
        return match[1]

    def shell(self, command: str) -> None:
        subprocess.run(command, shell=True, check=True, cwd=self.output)

    def variants(self, config: str = CONFIG) -> Variants:
        return Variants(Make(self.source, self.output, "x86_64", 2, soon()), config)

    def files(self) -> dict[str, bytes]:
        return {str(each): each.read_bytes() for each in self.output.rglob("*") if each.is_file()}


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(tmp_path)


def symbols(module: Path) -> str:
    return subprocess.run(["nm", module], check=True, capture_output=True, text=True).stdout


def code(path: Path) -> str:
    return build_identity.normalised(path, path.with_suffix(".scratch"), GCC, soon())


def test_a_variant_becomes_a_module_and_the_build_stays_as_it_is(built: Built) -> None:
    before = built.files()
    variants = built.variants()
    part = variants.part("virt/eventfd.c")
    assert part is not None
    assert part.stem == "kvm/kvm"
    content = SOURCE.replace("limit", "other").encode()
    module = variants.link(part, variants.compile(part, content, "m1"))
    assert " T other" in symbols(module)
    assert " T helper" in symbols(module)
    assert " T limit" not in symbols(module)
    variants.close()
    assert built.files() == before


def test_what_compiles_to_the_same_has_the_same_code(built: Built) -> None:
    variants = built.variants()
    part = variants.part("virt/eventfd.c")
    assert part is not None
    made = {
        name: code(variants.compile(part, content.encode(), name))
        for name, content in {
            "own": SOURCE,
            "comment": SOURCE.replace("int helper", "/* x */ int helper"),
            "same": SOURCE.replace("< A", "<= A - 1"),
            "other": SOURCE.replace("< A", "<= A"),
            "file": SOURCE.replace("< A", "< (__FILE__[1] + __LINE__)"),
        }.items()
    }
    assert made["own"] == made["comment"] == made["same"]
    assert made["other"] != made["own"]
    # The names of a file and its lines are those of the tree, and warnings are no errors.
    kbuilds = built.output / "virt/eventfd.o"
    assert code(kbuilds) == made["own"]
    again = variants.compile(
        part, SOURCE.replace("< A", "< (__FILE__[1] + __LINE__)").encode(), "f2"
    )
    assert code(again) == made["file"]


def test_a_module_of_one_object(built: Built) -> None:
    variants = built.variants()
    part = variants.part("virt/one.c")
    assert part is not None
    module = variants.link(part, variants.compile(part, b"int two(void) { return 2; }", "m"))
    assert module.name == "one.ko"
    assert " T two" in symbols(module)


def test_what_does_not_compile_says_why(built: Built) -> None:
    variants = built.variants()
    part = variants.part("virt/one.c")
    assert part is not None
    with pytest.raises(BuildError, match="undeclared"):
        variants.compile(part, b"int one(void) { return x; }", "m")


def test_a_module_may_come_to_need_what_the_kernel_exports_and_nothing_else(built: Built) -> None:
    variants = built.variants()
    part = variants.part("virt/one.c")
    assert part is not None
    printing = b"int _printk(void); int one(void) { return _printk(); }"
    assert " U _printk" in symbols(variants.link(part, variants.compile(part, printing, "m")))
    with pytest.raises(BuildError, match="helper is not exported to modules"):
        calling = printing.replace(b"_printk", b"helper")
        variants.link(part, variants.compile(part, calling, "n"))


@pytest.mark.parametrize(
    "path",
    [
        "virt/a.h",  # any number of files may read it
        "virt/c.c",  # not built
    ],
)
def test_what_is_no_part_of_one_module_takes_a_whole_build(built: Built, path: str) -> None:
    assert built.variants().part(path) is None


def test_a_file_of_the_kernel_itself_takes_a_whole_build(built: Built) -> None:
    (built.output / "modules.order").write_text("kvm/kvm.o\n")
    assert built.variants().part("virt/one.c") is None


@pytest.mark.parametrize("option", ["CONFIG_MODULE_SIG_ALL", "CONFIG_MODVERSIONS"])
def test_a_kernel_that_has_more_done_to_its_modules_takes_a_whole_build(
    built: Built, option: str
) -> None:
    assert built.variants(f"{CONFIG}{option}=y\n").part("virt/one.c") is None
