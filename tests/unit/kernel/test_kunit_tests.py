"""KUnit tests: found in a tree, with the options that build them and what these depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_tree import make_base, soon
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.host import process
from toolkit.host.cache import Cache
from toolkit.kernel import kconfig_explain, kconfig_parents, kunit_tests, tree_text
from toolkit.kernel.kunit_tests import TestModule


def kunit_file(*suites: str, macro: str = "kunit_test_suites", cases: str = "works") -> str:
    """Return the text of a C file that registers suites."""
    defined = "".join(
        f'static struct kunit_suite suite_{number} = {{\n\t.name = "{name}",\n'
        "\t.test_cases = cases,\n};\n"
        for number, name in enumerate(suites)
    )
    listed = ", ".join(f"&suite_{number}" for number in range(len(suites)))
    case = f"static struct kunit_case cases[] = {{\n\tKUNIT_CASE({cases}),\n\t{{}}\n}};\n"
    return f"{case}{defined}{macro}({listed});\n"


KCONFIG = """
menu "Testing"
config KUNIT
\ttristate "KUnit"
config RUNTIME
\tbool "Runtime tests"
if RUNTIME
config LIST_TEST
\ttristate "list" if !KUNIT_ALL_TESTS
\tdepends on KUNIT
endif
config FS
\ttristate "a file system"
\tdepends on (BLOCK && NET)
config BLOCK
\tbool "block"
config NET
\tbool "net"
config FS_TEST
\ttristate "its test"
\tdepends on FS && KUNIT=y && (X || Y)
config CORE_TEST
\tbool "core"
\tdepends on KUNIT=y && KASAN
config KASAN
\tbool "kasan"
config CHIP_TEST
\ttristate "chip"
\tdepends on CHIP
config CHIP
\ttristate "chip"
\tdepends on ARM
config HIDDEN
\ttristate
\tdepends on NET
config X
\tbool
config ALL
\tbool "a loop"
\tdepends on ALL2
config ALL2
\tbool "a loop"
\tdepends on ALL
endmenu
"""
TREE = {
    "Kconfig": KCONFIG,
    "lib/Makefile": "obj-$(CONFIG_LIST_TEST) += list-test.o\nobj-$(CONFIG_NONE) += other.o\n",
    "lib/list-test.c": kunit_file("list", "hlist", cases="list_add), KUNIT_CASE_SLOW(list_del"),
    "lib/other.c": "/* kunit_test_suites() is what a test calls */\nint other;\n",
    "fs/Makefile": "obj-$(CONFIG_FS) += fs.o\nfs-y += inode.o\nfs-$(CONFIG_FS_TEST) += test.o\n",
    "fs/test.c": kunit_file("fs", macro="kunit_test_suite"),
    "fs/inode.c": "#ifndef MODULE\n#endif\n#if IS_ENABLED(CONFIG_FS_TEST)\n"
    '#include "tests/inode_test.c"\n#endif\n',
    "fs/tests/inode_test.c": kunit_file("inode", macro="kunit_test_init_section_suites"),
    "core/Makefile": "obj-y += core.o\n",
    "core/core.c": "int a;\n#ifdef CONFIG_CORE_TEST\n"
    + kunit_file("x").replace('"x"', "KBUILD_MODNAME")
    + "#endif\n",
    "arch/riscv/Makefile": "obj-$(CONFIG_LIST_TEST) += here.o\n",
    "arch/riscv/here.c": kunit_file("elsewhere"),
    "tools/x.c": kunit_file("tool"),
}


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    return PatchedTree(make_base(tmp_path / "base", **TREE), None, {}, "key")


def find(tree: PatchedTree, cache: Path) -> dict[str, TestModule]:
    found = kunit_tests.find(tree, "x86", Cache(cache), soon())
    assert [each.name for each in found] == sorted(each.name for each in found)
    return {each.name: each for each in found}


def test_what_a_tree_has(tree: PatchedTree, tmp_path: Path) -> None:
    found = find(tree, tmp_path / "cache")
    assert list(found) == ["core", "fs", "list-test"]
    assert found["list-test"] == TestModule(
        name="list-test",
        suites=("list", "hlist"),
        cases=("list_add", "list_del"),
        options=("CONFIG_LIST_TEST",),
        built_in=(),
        wishes_built_in={"CONFIG_KUNIT": "m", "CONFIG_LIST_TEST": "m", "CONFIG_RUNTIME": "y"},
        wishes={"CONFIG_KUNIT": "m", "CONFIG_LIST_TEST": "m", "CONFIG_RUNTIME": "y"},
        files=("lib/list-test.c",),
    )


def test_a_test_that_is_a_part_of_what_it_tests(tree: PatchedTree, tmp_path: Path) -> None:
    fs = find(tree, tmp_path / "cache")["fs"]
    assert set(fs.suites) == {"inode", "fs"}
    assert fs.options == ("CONFIG_FS", "CONFIG_FS_TEST")
    assert set(fs.files) == {"fs/test.c", "fs/tests/inode_test.c"}
    core = find(tree, tmp_path / "cache")["core"]
    assert (core.suites, core.options) == (("core",), ("CONFIG_CORE_TEST",))


@pytest.mark.parametrize(
    ("condition", "built_in"),
    [
        ("#ifdef CONFIG_FS_TEST", True),
        ("#if IS_BUILTIN(CONFIG_FS_TEST)", True),
        ("#if defined(CONFIG_FS_TEST)", True),
        ("#if IS_ENABLED(CONFIG_FS_TEST)", False),
        ("#if defined(CONFIG_FS_TEST) || defined(CONFIG_FS_TEST_MODULE)", False),
        ("#ifdef CONFIG_FS_TEST_MODULE", False),
    ],
)
def test_a_test_that_a_condition_lets_in_only_where_it_is_built_in(
    tree: PatchedTree, tmp_path: Path, condition: str, built_in: bool
) -> None:
    inode = f'{condition}\n#include "tests/inode_test.c"\n#endif\n'
    files = {"fs/inode.c": PatchedFile(inode.encode()), "fs/test.c": PatchedFile(None)}
    fs = find(dataclasses.replace(tree, files=files, key="other"), tmp_path / "cache")["fs"]
    assert fs.options == ("CONFIG_FS", "CONFIG_FS_TEST")
    assert fs.built_in == (("CONFIG_FS_TEST",) if built_in else ())
    assert (fs.wishes["CONFIG_FS_TEST"], fs.wishes["CONFIG_FS"]) == ("m", "m")
    level = "y" if built_in else "m"
    inside = fs.wishes_built_in
    assert (inside["CONFIG_FS_TEST"], inside["CONFIG_FS"], inside["CONFIG_KUNIT"]) == (
        level,
        level,
        "y",
    )


def test_a_module_with_one_file_that_can_be_a_module_is_one(
    tree: PatchedTree, tmp_path: Path
) -> None:
    inode = '#ifdef CONFIG_FS_TEST\n#include "tests/inode_test.c"\n#endif\n'
    files = {"fs/inode.c": PatchedFile(inode.encode())}
    fs = find(dataclasses.replace(tree, files=files, key="other"), tmp_path / "cache")["fs"]
    assert set(fs.suites) == {"inode", "fs"}
    assert fs.built_in == ()


def test_a_test_that_its_makefile_takes_only_where_it_is_built_in(
    tree: PatchedTree, tmp_path: Path
) -> None:
    makefile = "ifeq ($(CONFIG_LIST_TEST),y)\nobj-$(CONFIG_LIST_TEST) += \\\n\tlist-test.o\nendif\n"
    files = {"lib/Makefile": PatchedFile(makefile.encode())}
    found = find(dataclasses.replace(tree, files=files, key="other"), tmp_path / "cache")
    assert found["list-test"].built_in == ("CONFIG_LIST_TEST",)
    assert found["list-test"].wishes_built_in["CONFIG_LIST_TEST"] == "y"


def test_a_folder_that_kbuild_enters_for_an_option_alone(tree: PatchedTree, tmp_path: Path) -> None:
    above = b"obj-y += core/\nobj-$(CONFIG_NET) += lib/\n"
    files = {"Kbuild": PatchedFile(above)}
    found = find(dataclasses.replace(tree, files=files, key="other"), tmp_path / "cache")
    assert found["list-test"].options == ("CONFIG_LIST_TEST", "CONFIG_NET")
    assert found["core"].options == ("CONFIG_CORE_TEST",)


def test_a_series_adds_changes_and_removes_tests(tree: PatchedTree, tmp_path: Path) -> None:
    def patched(**files: str | None) -> dict[str, TestModule]:
        changed = {
            name: PatchedFile(None if text is None else text.encode())
            for name, text in files.items()
        }
        other = dataclasses.replace(tree, files=changed, key=str(sorted(files)))
        return find(other, tmp_path / "cache")

    assert list(patched(**{"lib/list-test.c": None})) == ["core", "fs"]
    renamed = patched(**{"lib/list-test.c": kunit_file("tsil")})
    assert renamed["list-test"].suites == ("tsil",)
    makefile = TREE["lib/Makefile"] + "obj-$(CONFIG_NEW_TEST) += new.o\n"
    new = {"lib/Makefile": makefile, "lib/new.c": kunit_file("new")}
    assert patched(**new)["new"].options == ("CONFIG_NEW_TEST",)
    assert patched(**new)["new"].wishes == {}
    kconfig = KCONFIG.replace("endmenu", 'config NEW_TEST\n\tbool "new"\nendmenu')
    assert patched(**new, Kconfig=kconfig)["new"].wishes == {"CONFIG_NEW_TEST": "y"}


def test_a_tree_is_searched_once(
    tree: PatchedTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(tree, tmp_path / "cache")
    monkeypatch.setattr(process, "run", None)
    edited = {"lib/list-test.c": PatchedFile(kunit_file("again").encode())}
    other = dataclasses.replace(tree, files=edited)
    assert find(other, tmp_path / "cache")["list-test"].suites == ("again",)
    monkeypatch.setattr(tree_text, "read", None)
    assert find(other, tmp_path / "cache")["list-test"].suites == ("again",)


def test_a_tree_without_a_test(tmp_path: Path) -> None:
    tree = PatchedTree(make_base(tmp_path / "base"), None, {}, "key")
    assert find(tree, tmp_path / "cache") == {}


# --- what to ask for ------------------------------------------------------------------------


def test_parents_within_more_parentheses_than_anybody_writes_are_not_looked_for() -> None:
    deep = "(" * 2000 + "OTHER" + ")" * 2000
    text = f'config A\n\tbool "a"\n\tdepends on ((B)) && {deep}\n' + "".join(
        f'config {name}\n\tbool "x"\n' for name in ("B", "OTHER")
    )
    symbols = kconfig_explain.symbols({"Kconfig": text}.get, "x86")
    assert kconfig_parents.with_parents(symbols, ["CONFIG_A"]) == {"CONFIG_A": "y", "CONFIG_B": "y"}
    assert kunit_tests.lacking(symbols, {}, ["CONFIG_A"]) == "needs B"


@pytest.mark.parametrize(
    ("option", "config", "why"),
    [
        ("CHIP_TEST", {}, "needs CHIP, which needs ARM"),
        ("FS_TEST", {"KUNIT": "y", "FS": "m"}, "needs X || Y"),
        ("FS_TEST", {"FS": "m"}, "needs KUNIT=y"),
        ("FS_TEST", {"KUNIT": "y", "X": "y"}, "needs FS, which needs BLOCK"),
        ("CORE_TEST", {"KUNIT": "y"}, "needs KASAN"),
        ("HIDDEN", {"NET": "y"}, "needs HIDDEN"),
        ("NOWHERE", {}, "needs NOWHERE"),
        ("LIST_TEST", {"LIST_TEST": "m"}, ""),
        ("ALL", {}, "needs ALL2, which needs ALL"),
    ],
)
def test_what_a_configuration_lacks(option: str, config: dict[str, str], why: str) -> None:
    symbols = kconfig_explain.symbols({"Kconfig": KCONFIG}.get, "x86")
    options = {f"CONFIG_{name}": value for name, value in config.items()}
    assert kunit_tests.lacking(symbols, options, [f"CONFIG_{option}"]) == why


@given(st.text(alphabet="#ifdefndlse \nCONFIG_AB()|!\\x", max_size=200))
def test_conditions_of_any_text(text: str) -> None:
    needs = kunit_tests._condition(text)
    assert all(option.startswith("CONFIG_") for option in needs.options)
    assert needs.built_in <= needs.options
