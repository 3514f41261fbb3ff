"""KUnit as a suite: its options, its programs, and the script that they are."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from tests.unit.kernel.test_kunit_tests import TREE
from toolkit.core.arch import X86_64
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.model.testing import BuiltSuite, Outcome, RawRun, Status
from toolkit.core.observer import Silent
from toolkit.host.cache import Cache
from toolkit.kernel import worktree
from toolkit.kernel.kbuild import Builder
from toolkit.testing import kunit, program_names, verdicts

NO_LISTS = Path("/nonexistent")
CONFIG = (
    "CONFIG_KUNIT=y\nCONFIG_LIST_TEST=m\nCONFIG_BLOCK=y\nCONFIG_NET=y\nCONFIG_FS=m\nCONFIG_X=y\n"
    "CONFIG_FS_TEST=m\n# CONFIG_CORE_TEST is not set\n"
)
LISTS = """KTAP version 1
1..1
    KTAP version 1
    # Subtest: list
    1..2
    ok 1 list_add
    not ok 2 list_del
# list: pass:1 fail:1 skip:0 total:2
not ok 1 list
"""


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    return PatchedTree(make_base(tmp_path / "base", **TREE), None, {}, "key")


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(Cache(tmp_path / "cache"), X86_64, worktree.materialise, 2, Silent())


def kernel(tmp_path: Path, config: str, *modules: str) -> KernelBuild:
    tmp_path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "config").write_text(config)
    (tmp_path / "empty").write_text("")
    with tarfile.open(tmp_path / "modules.tar", "w") as tar:
        for name in modules:
            tar.add(tmp_path / "empty", f"lib/modules/6.12.1/kernel/{name}.ko")
    archive = tmp_path / "modules.tar" if modules else None
    return KernelBuild(
        tmp_path, "k", "6.12.1", tmp_path, "d", archive, tmp_path, tmp_path / "config"
    )


def build(builder: Builder, tree: PatchedTree, built: KernelBuild, glob: str = "*") -> BuiltSuite:
    suite = kunit.find(NO_LISTS, f"kunit:{glob}", tree, builder, soon())
    assert suite.kunit
    made, _ = kunit.build(builder, suite, suite.kunit, tree=tree, kernel=built, deadline=soon())
    return made


def test_what_the_configuration_is_asked_for(tree: PatchedTree, builder: Builder) -> None:
    suite = kunit.find(NO_LISTS, "kunit", tree, builder, soon())
    firm, wishes = suite.fragments
    assert firm.options == {
        "CONFIG_KUNIT": "y",
        "CONFIG_DEBUG_FS": "y",
        "CONFIG_KUNIT_DEBUGFS": "y",
    }
    assert not firm.soft
    assert wishes.soft
    assert wishes.options["CONFIG_LIST_TEST"] == wishes.options["CONFIG_FS"] == "m"
    assert wishes.options["CONFIG_KUNIT_ALL_TESTS"] == "n"
    assert "CONFIG_KUNIT" not in wishes.options
    few = kunit.find(NO_LISTS, "kunit:hlist.list_add", tree, builder, soon())
    assert "CONFIG_FS" not in few.fragments[1].options
    with pytest.raises(UserError) as caught:
        kunit.find(NO_LISTS, "kunit:hlists", tree, builder, soon())
    assert "did you mean kunit:hlist" in caught.value.hint


def test_what_the_kernel_says_of_a_test_stands_in_a_list(
    tree: PatchedTree, builder: Builder, tmp_path: Path
) -> None:
    allowed = tmp_path / "suites/kunit/allow.yaml"
    allowed.parent.mkdir(parents=True)
    allowed.write_text(
        "allow:\n- {test: fs/dmesg, reason: it warns}\n- {test: absent/dmesg, reason: gone}\n"
    )

    def entries(glob: str) -> list[str]:
        suite = kunit.find(tmp_path / "suites", f"kunit:{glob}", tree, builder, soon())
        assert suite.kunit
        built = kernel(tmp_path / glob, CONFIG, "lib/list-test", "fs/fs")
        made, _ = kunit.build(builder, suite, suite.kunit, tree=tree, kernel=built, deadline=soon())
        return [entry.test for entry in made.allowed]

    assert entries("fs") == ["kunit/fs/dmesg"]
    assert entries("list") == []  # which is no news of a test that nobody asked for


def with_test_built_into_fs(tree: PatchedTree) -> PatchedTree:
    inode = b'#ifdef CONFIG_FS_TEST\n#include "tests/inode_test.c"\n#endif\n'
    files = {"fs/inode.c": PatchedFile(inode), "fs/test.c": PatchedFile(None)}
    return replace(tree, files=files, key="other")


def test_a_test_of_a_module_that_is_built_in_is_asked_for_by_name(
    tree: PatchedTree, builder: Builder
) -> None:
    other = with_test_built_into_fs(tree)
    everything = kunit.find(NO_LISTS, "kunit", other, builder, soon()).fragments[1].options
    assert everything["CONFIG_FS"] == everything["CONFIG_FS_TEST"] == "m"
    named = kunit.find(NO_LISTS, "kunit:ino*", other, builder, soon()).fragments[1].options
    assert named["CONFIG_FS"] == named["CONFIG_FS_TEST"] == "y"


def test_a_module_without_the_tests_that_it_would_have_built_in_is_a_skip(
    tree: PatchedTree, builder: Builder, tmp_path: Path
) -> None:
    other = with_test_built_into_fs(tree)
    absent = build(builder, other, kernel(tmp_path / "k", CONFIG, "fs/fs"), "inode")
    assert [entry.reason for entry in absent.allowed] == ["needs CONFIG_FS_TEST=y"]
    config = CONFIG.replace("FS=m", "FS=y").replace("FS_TEST=m", "FS_TEST=y")
    there = build(builder, other, kernel(tmp_path / "l", config), "inode")
    assert there.allowed == ()
    assert "exec ./.kunit boot fs inode inode\n" in (there.path / "fs").read_text()


def test_a_module_is_a_program_and_what_is_not_there_a_skip(
    tree: PatchedTree, builder: Builder, tmp_path: Path
) -> None:
    built = build(builder, tree, kernel(tmp_path / "k", CONFIG, "lib/list-test", "fs/fs"))
    assert [program.name for program in built.programs] == ["core", "fs", "list-test"]
    assert {program.timeout for program in built.programs} == {300}
    leaves = [verdicts.unstarted(program, built.allowed) for program in built.programs]
    assert leaves[1:] == [None, None]
    assert leaves[0]
    assert (leaves[0].id, leaves[0].status) == ("kunit/core", Status.SKIP)
    assert leaves[0].message == "not run: needs KASAN"
    script = (built.path / "list-test").read_text()
    assert script.endswith("exec ./.kunit load list-test '*' list hlist\n")
    assert os.access(built.path / ".kunit", os.X_OK)


def test_what_can_be_built_in_alone_is_a_skip_where_it_was_to_be_a_module(
    tree: PatchedTree, builder: Builder, tmp_path: Path
) -> None:
    absent = build(builder, tree, kernel(tmp_path / "k", CONFIG, "fs/fs"))
    assert [entry.reason for entry in absent.allowed] == [
        "needs KASAN",
        "needs CONFIG_LIST_TEST=y",
    ]
    config = CONFIG.replace("LIST_TEST=m", "LIST_TEST=y")
    there = build(builder, tree, kernel(tmp_path / "l", config, "fs/fs"))
    assert [entry.test for entry in there.allowed] == ["kunit/core"]
    assert "exec ./.kunit boot list-test" in (there.path / "list-test").read_text()
    assert len(build(builder, tree, kernel(tmp_path / "m", "")).allowed) == 3


def test_what_the_series_changes_is_first(
    tree: PatchedTree, builder: Builder, tmp_path: Path
) -> None:
    files = {"lib/list-test.c": PatchedFile(TREE["lib/list-test.c"].encode() + b"\n")}
    tree = replace(tree, files=files)
    built = build(builder, tree, kernel(tmp_path / "k", CONFIG, "lib/list-test"))
    assert built.changed == ("kunit/list-test",)


def test_names_of_programs_are_known_before_the_build(tree: PatchedTree, builder: Builder) -> None:
    suite = kunit.find(NO_LISTS, "kunit", tree, builder, soon())
    program_names.check(("list-*",), [suite], lambda: tree)
    with pytest.raises(UserError) as caught:
        program_names.check(("lost-test",), [suite], lambda: tree)
    assert caught.value.hint == "did you mean list-test?"


# --- the script ----------------------------------------------------------------------------


class Guest:
    """A guest's /sys, /proc and /lib/modules in a folder, with a modprobe that fills them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("sys", "debug/kunit", "proc", "modules", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "proc/mounts").write_text(f"none {root}/debug debugfs rw 0 0\n")
        (root / "proc/modules").write_text("")
        (root / "modules/modules.dep").write_text("kernel/lib/list-test.ko:\n")
        text = Path(kunit.__file__).with_suffix(".sh").read_text()
        for place, here in (
            ("/sys/kernel/debug", "debug"),
            ("/sys/module/kunit/parameters/filter_glob", "sys/filter"),
            ("/proc/", "proc/"),
            ("/lib/modules/$(uname -r)", "modules"),
        ):
            assert place in text
            text = text.replace(place, f"{root}/{here}")
        (root / "kunit").write_text(text)
        self.modprobe("exit 1")

    def modprobe(self, command: str) -> None:
        path = self.root / "bin/modprobe"
        path.write_text(
            f"#!/bin/sh\n[ $1 = kunit ] && exit 0\ncd {self.root}/debug/kunit\n{command}\n"
        )
        path.chmod(0o755)

    def results(self, suite: str, text: str = LISTS) -> None:
        (self.root / "debug/kunit" / suite).mkdir()
        (self.root / "debug/kunit" / suite / "results").write_text(text)

    def run(self, *words: str) -> tuple[int, str, str]:
        path = f"{self.root}/bin:{os.environ['PATH']}"
        ran = subprocess.run(
            ["sh", str(self.root / "kunit"), *words],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": path},
        )
        return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path / "guest")


LOADS = (
    "mkdir list 'RFC 3961 tests' && echo list >list/results && echo rfc >'RFC 3961 tests/results'"
)


def test_the_suites_of_a_module_are_printed_once_it_is_loaded(guest: Guest) -> None:
    guest.results("before")
    guest.modprobe(LOADS)
    assert guest.run("load", "list-test", "*", "list", "absent") == (0, "list\n", "")


def test_without_names_what_appears_is_printed(guest: Guest) -> None:
    guest.results("before")
    guest.modprobe(LOADS)
    status, out, _ = guest.run("load", "list_test", "*")
    assert (status, sorted(out.splitlines())) == (0, ["list", "rfc"])


def test_a_glob_goes_to_the_kernel_before_the_module_is_loaded(guest: Guest) -> None:
    (guest.root / "sys/filter").touch()
    guest.modprobe("mkdir list && cp ../../sys/filter list/results")
    assert guest.run("load", "list-test", "l*.a?", "list") == (0, "l*.a?", "")


def test_a_module_that_is_loaded_already_has_its_results(guest: Guest) -> None:
    guest.results("list", "once\n")
    (guest.root / "proc/modules").write_text("list_test 4096 0 - Live 0x0\n")
    assert guest.run("load", "list-test", "*", "list") == (0, "once\n", "")


def test_what_ran_at_boot_is_read(guest: Guest) -> None:
    guest.results("list", "booted\n")
    assert guest.run("boot", "core", "*", "list") == (0, "booted\n", "")
    status, out, err = guest.run("boot", "core", "*", "other")
    assert (status, out) == (1, "")
    assert "is kunit.enable=0?" in err


def test_what_is_not_there_is_a_skip(guest: Guest) -> None:
    assert guest.run("skip", "needs", "NET") == (4, "1..0 # SKIP needs NET\n", "")
    status, out, _ = guest.run("load", "other-test", "*", "list")
    assert (status, out) == (4, "1..0 # SKIP this kernel has no module other-test\n")
    guest.modprobe("true")
    status, out, _ = guest.run("load", "list-test", "list.nothing", "list")
    assert (status, out) == (4, "1..0 # SKIP no test of list-test matches list.nothing\n")


def test_a_module_that_does_not_load_is_no_skip(guest: Guest) -> None:
    status, out, err = guest.run("load", "list-test", "*", "list")
    assert (status, out) == (1, "")
    assert "the module list-test could not be loaded" in err


def test_leaves_are_called_after_module_suite_and_test(guest: Guest) -> None:
    guest.results("list")
    guest.results("hlist", LISTS.replace("list", "hlist").replace("not ok", "ok"))
    _, out, _ = guest.run("boot", "list-test", "*", "list", "hlist")
    run = RawRun("kunit", "list-test", Outcome.COMPLETED, 0, None, out, "", 1.0)
    assert [(leaf.id, leaf.status) for leaf in verdicts.judge(run)] == [
        ("kunit/list-test/list/list_add", Status.PASS),
        ("kunit/list-test/list/list_del", Status.FAIL),
        ("kunit/list-test/hlist/hlist_add", Status.PASS),
        ("kunit/list-test/hlist/hlist_del", Status.PASS),
    ]
