"""Suites from elsewhere: found by their path, built in the tree's own selftests' place."""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from tests.unit.testing.test_suites import GOOD, LIB_MK, MAKEFILE, Shop, no_tree, patched
from toolkit.core import paths
from toolkit.core.arch import ARM64, X86_64
from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedTree
from toolkit.core.model.testing import BuiltSuite
from toolkit.core.observer import Silent
from toolkit.formats import elf
from toolkit.host.cache import Cache
from toolkit.testing import in_tree_suites, outside_suites, program_names, suites
from toolkit.workflow import stage_work, watch
from toolkit.workflow.bisect_judge import question
from toolkit.workflow.request import Request

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    files = {
        f"{in_tree_suites.FOLDER}/lib.mk": LIB_MK,
        f"{in_tree_suites.FOLDER}/lib/Makefile": "",
    }
    return PatchedTree(make_base(tmp_path / "base", **files), None, {}, "key")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A suite with programs that compile, that does not, and a script, and a header's link."""
    folder = tmp_path / "home/my-suite"
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "good.c").write_text(f'#include "mine.h"\n{GOOD}')
    (folder.parent / "mine.h").write_text("int mine;\n")
    (folder / "mine.h").symlink_to("../mine.h")
    (folder / "broken.c").write_text("int main(void) { return missing; }\n")
    (folder / "helper.c").write_text("int main(void) { return 0; }\n")
    (folder / "script.sh").write_text("#!/bin/sh\n")
    (folder / "config").write_text("CONFIG_A=y\nCONFIG_A=y\n")
    (folder / "settings").write_text("timeout=7\n")
    return folder


def build(shop: Shop, name: str, tree: PatchedTree) -> tuple[BuiltSuite, bool]:
    suite = suites.find(shop.folder, name, no_tree, X86_64)
    return suites.build(shop.builder, suite, tree, shop.kernel, log=shop.log, deadline=soon())


# --- a folder ----------------------------------------------------------------------


def test_a_folder_s_options_for_one_architecture(own: Path) -> None:
    (own / "config.x86_64").write_text("CONFIG_B=m\n")
    (own / "config.arm64").write_text("CONFIG_C=y\n")
    for arch, last in ((X86_64, {"CONFIG_B": "m"}), (ARM64, {"CONFIG_C": "y"})):
        suite = suites.find(own, str(own), no_tree, arch)
        assert [dict(each.options) for each in suite.fragments] == [{"CONFIG_A": "y"}, last]
        assert all(each.soft for each in suite.fragments)


def test_a_folder_is_a_suite(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (str(own), "./my-suite", "../home/my-suite/", "~/my-suite"):
        suite = suites.find(tmp_path, name, no_tree, X86_64)
        assert (suite.name, suite.path, suite.timeout) == ("my-suite", own, 7)
        assert [(dict(each.options), each.soft) for each in suite.fragments] == [
            ({"CONFIG_A": "y"}, True)
        ]
    monkeypatch.chdir(own)
    assert suites.find(tmp_path, ".", no_tree, X86_64).name == "my-suite"


def test_it_is_built_as_one_of_the_tree_s_own(own: Path, tmp_path: Path, tree: PatchedTree) -> None:
    shop = Shop(tmp_path, tmp_path)
    built, cached = build(shop, str(own), tree)
    assert not cached
    assert built.name == "my-suite"
    unbuilt = {program.name: bool(program.unbuilt) for program in built.programs}
    assert unbuilt == {"good": False, "broken": True, "script.sh": False}
    assert all(program.by_status for program in built.programs)
    assert not built.kvm
    assert sorted(path.name for path in own.iterdir()) == [
        *("Makefile", "broken.c", "config", "good.c", "helper.c", "mine.h", "script.sh"),
        "settings",
    ]
    assert build(shop, str(own), tree)[1]
    (own.parent / "mine.h").write_text("int yours;\n")
    assert not build(shop, str(own), tree)[1]
    other = patched(tree, "virt/kvm/eventfd.c", "int x;\n")
    assert build(shop, str(own), other)[1]
    assert not build(shop, str(own), patched(tree, "tools/x.c", "//\n"))[1]


def test_our_own_form_of_a_suite_may_lie_elsewhere(
    own: Path, tmp_path: Path, tree: PatchedTree
) -> None:
    (own.parent / "lib").mkdir()
    (own.parent / "lib/suite.mk").write_text("include $(KSFT)/lib.mk\n")
    (own / "Makefile").write_text(MAKEFILE.replace("../lib.mk", "../lib/suite.mk"))
    built, _ = build(Shop(tmp_path, tmp_path), str(own), tree)
    assert (built.path / "good").is_file()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("./none", "does not exist"),
        ("./file", "is no folder"),
        ("./empty", "has no Makefile"),
        ("./other", "includes no lib.mk"),
        ("./a b", "cannot be part of a test's id"),
    ],
)
def test_what_is_no_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "other", "a b"):
        Path(folder).mkdir()
    Path("file").touch()
    Path("other/Makefile").write_text("all:\n\ttrue\n")
    Path("a b/Makefile").write_text("include ../lib.mk\n")
    with pytest.raises(UserError) as caught:
        suites.find(tmp_path, name, no_tree, X86_64)
    assert what in caught.value.what
    assert caught.value.hint


# --- one program ----------------------------------------------------------------------


def script(path: Path, text: str = "#!/bin/sh\nexit 3\n") -> str:
    path.write_text(text)
    path.chmod(0o755)
    return f"program:{path}"


def test_one_program_is_a_suite_of_its_own(tmp_path: Path, tree: PatchedTree) -> None:
    name = script(tmp_path / "check.sh")
    shop = Shop(tmp_path, tmp_path)
    built, cached = build(shop, name, tree)
    (program,) = built.programs
    assert (built.name, program.name, program.by_status) == (
        *("program-check.sh", "check.sh"),
        True,
    )
    ran = subprocess.run(["./.line_buffered", "./check.sh"], cwd=built.path, check=False)
    assert (ran.returncode, cached) == (3, False)
    assert build(shop, name, patched(tree, "tools/x.c", "//\n"))[1]
    script(tmp_path / "check.sh", "#!/bin/sh\nexit 4\n")
    assert not build(shop, name, tree)[1]


def test_a_binary_of_this_architecture(tmp_path: Path) -> None:
    path = tmp_path / "check"
    path.symlink_to(sys.executable)
    assert suites.find(tmp_path, f"program:{path}", no_tree, X86_64).name == "program-check"


def test_the_machine_of_a_file_is_read_in_either_order() -> None:
    for order, mark in (("<", 1), (">", 2)):
        head = elf.MAGIC + bytes([2, mark]) + bytes(10) + struct.pack(f"{order}HH", 2, 183)
        assert elf.machine(head) == 183
    assert elf.machine(elf.MAGIC) == -1


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        (None, 0, "cannot read"),
        (b"#!/bin/sh\n", 0o644, "is not executable"),
        (b"echo hello\n", 0o755, "neither an ELF program nor a script"),
        (b"", 0o755, "neither an ELF program nor a script"),
        (elf.MAGIC + bytes([2, 1]) + bytes(10) + b"\2\0\267\0", 0o755, "another architecture"),
        (elf.MAGIC, 0o755, "another architecture"),
    ],
)
def test_what_a_machine_cannot_run(
    tmp_path: Path, content: bytes | None, mode: int, what: str
) -> None:
    path = tmp_path / "check"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(UserError) as caught:
        suites.find(tmp_path, f"program:{path}", no_tree, X86_64)
    assert what in caught.value.what
    assert caught.value.what.startswith(f"--program {path}")
    assert caught.value.hint


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "pipe"):
        if path != tmp_path:
            os.mkfifo(path, 0o755)
        with pytest.raises(UserError, match="is no file"):
            suites.find(tmp_path, f"program:{path}", no_tree, X86_64)


# --- what takes them ----------------------------------------------------------------------


def test_names_of_programs_are_known_before_the_build(own: Path, tmp_path: Path) -> None:
    names = (str(own), script(tmp_path / "check.sh"))
    wanted = [suites.find(tmp_path, name, no_tree, X86_64) for name in names]
    program_names.check(("good", "check*"), wanted, no_tree)
    with pytest.raises(UserError, match="can be called 'other'"):
        program_names.check(("other",), wanted, no_tree)


def test_two_suites_of_one_name_are_refused(own: Path, tmp_path: Path) -> None:
    request = Request(patch=None, suites=(str(own), f"{own}/"))
    cache = Cache(tmp_path / "cache")
    builder = stage_work.builder(request, cache, X86_64, Silent())
    with pytest.raises(UserError, match="two suites are called my-suite"):
        stage_work.wanted_suites(
            request, None, paths.resolve(PROJECT), no_tree, builder=builder, deadline=soon()
        )


def test_a_bisection_finds_the_suite_of_a_leaf(own: Path, tmp_path: Path) -> None:
    asked = question("my-suite/good/a", (str(own),))
    assert (asked.leaf, asked.suites) == ("my-suite/good/a", (str(own),))
    name = script(tmp_path / "check.sh")
    assert question("program-check.sh/check.sh", (name,)).program == "check.sh"
    assert question("check.sh", (name,)).leaf == "program-check.sh/check.sh"


def test_a_saved_build_knows_them_by_their_paths(own: Path, tmp_path: Path) -> None:
    built = BuiltSuite("my-suite", tmp_path, ())
    other = dataclasses.replace(built, name="other")
    assert in_tree_suites.chosen((built, other), (str(own),)) == (built,)


def test_they_are_watched(own: Path, tmp_path: Path) -> None:
    name = script(tmp_path / "check.sh")
    where = watch.places(paths.resolve(PROJECT), None, "debian:6.12", (), ("kvm", str(own), name))
    assert where[-2:] == [own, tmp_path / "check.sh"]
    assert not outside_suites.is_path("kvm")
