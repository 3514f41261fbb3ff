from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.kernel.kconfig_explain import dependencies, symbols, unmet

TOP = """
mainmenu "a kernel"

config PCI
\tbool "PCI"

menu "Virtualization"
\tdepends on PCI

source "arch/$(SRCARCH)/Kconfig"

endmenu

if NET
config VIRTIO_NET
\ttristate "card"
\tdepends on VIRTIO && \\
\t\t(SMP || !SMP)
\thelp
\t  depends on THE_MOON

endif

config FLAT
\ttristate "its help is indented as the word is"
\thelp
\tIt is of use
\tif you have the moon.

config EITHER
\tbool
\tdepends on A_ONE
config EITHER
\tbool
\tdepends on A_TWO
"""
ARCH = """
config KVM
\ttristate "KVM"
\tdepends on X86_LOCAL_APIC
config KVM_AMD
\ttristate
\tdepends on KVM && (CPU_SUP_AMD || CPU_SUP_HYGON)
config ODD
\tbool
\tdepends on $(success,true) && MODE = "fast"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "Kconfig").write_text(TOP)
    (tmp_path / "arch/x86").mkdir(parents=True)
    (tmp_path / "arch/x86/Kconfig").write_text(ARCH)
    return tmp_path


def test_names_the_dependency_and_its_value(tree: Path) -> None:
    why = unmet(tree, "x86", {"CONFIG_PCI": "y"}, "CONFIG_KVM")
    assert why == "it depends on X86_LOCAL_APIC (X86_LOCAL_APIC=n)"


def test_a_menu_guards_what_is_in_it(tree: Path) -> None:
    assert "PCI (PCI=n)" in unmet(tree, "x86", {"CONFIG_X86_LOCAL_APIC": "y"}, "CONFIG_KVM")


def test_tells_only_the_part_that_is_not_met(tree: Path) -> None:
    config = {"CONFIG_PCI": "y", "CONFIG_KVM": "m"}
    why = unmet(tree, "x86", config, "CONFIG_KVM_AMD", "m")
    assert why == ("it depends on (CPU_SUP_AMD || CPU_SUP_HYGON) (CPU_SUP_AMD=n, CPU_SUP_HYGON=n)")
    assert "KVM (KVM=m)" in unmet(tree, "x86", config, "CONFIG_KVM_AMD", "y")


def test_an_if_block_and_a_continued_line_count_and_a_help_text_does_not(tree: Path) -> None:
    why = unmet(tree, "x86", {}, "CONFIG_VIRTIO_NET")
    assert why == "it depends on NET (NET=n) and VIRTIO (VIRTIO=n)"


def test_two_definitions_give_two_ways(tree: Path) -> None:
    assert unmet(tree, "x86", {}, "CONFIG_EITHER") == (
        "it depends on A_ONE (A_ONE=n), or on A_TWO (A_TWO=n)"
    )
    assert unmet(tree, "x86", {"CONFIG_A_TWO": "y"}, "CONFIG_EITHER") == ""


def test_an_unknown_option_is_said_to_be_unknown(tree: Path) -> None:
    assert unmet(tree, "x86", {}, "CONFIG_TYPO") == "no Kconfig file of this kernel defines it"


def test_what_cannot_be_evaluated_is_left_out(tree: Path) -> None:
    why = unmet(tree, "x86", {"CONFIG_PCI": "y", "CONFIG_MODE": '"slow"'}, "CONFIG_ODD")
    assert why.startswith('it depends on MODE = "fast"')


@given(st.text(alphabet="ABcn \t\n()&|!=\"'$#\\<>-", max_size=200))
def test_never_raises_on_a_strange_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    (folder / "Kconfig").write_text("config A\n\tbool\n\tdepends on " + text)
    unmet(folder, "x86", {}, "CONFIG_A")


def test_a_file_that_sources_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text('source "Kconfig"\nconfig A\n\tdepends on B\n')
    assert "B (B=n)" in unmet(tmp_path, "x86", {}, "CONFIG_A")


def test_files_that_source_each_other_twice_end(tmp_path: Path) -> None:
    reads: list[str] = []

    def text(name: str) -> str:
        reads.append(name)
        number = int(name.removeprefix("Kconfig") or 0)
        return f'source "Kconfig{number + 1}"\n' * 2 + f"config A{number}\n\tbool\n"

    assert "A0" in symbols(text, "x86")
    assert len(reads) <= 20_000


@pytest.mark.parametrize("name", ["{}/outside", "../outside", "arch/../../outside"])
def test_no_file_outside_of_the_tree_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "tree/arch").mkdir(parents=True)
    (tmp_path / "outside").write_text("config A\n\tbool\n")
    (tmp_path / "tree/Kconfig").write_text(f'source "{name.format(tmp_path)}"\n')
    assert dependencies(tmp_path / "tree", "x86") == {}


@pytest.mark.parametrize("nested", ["(" * 5000 + "B" + ")" * 5000, "!" * 5000 + "B"])
def test_what_is_nested_too_deep_is_left_out(tmp_path: Path, nested: str) -> None:
    (tmp_path / "Kconfig").write_text(f"config A\n\tbool\n\tdepends on C && {nested}\n")
    assert unmet(tmp_path, "x86", {}, "CONFIG_A") == "it depends on C (C=n)"


@pytest.mark.parametrize(("version", "met"), [("124", True), ("116", True), ("115", False)])
def test_numbers_are_compared(tmp_path: Path, version: str, met: bool) -> None:
    (tmp_path / "Kconfig").write_text("config BTF\n\tbool\n\tdepends on PAHOLE >= 116\n")
    why = unmet(tmp_path, "x86", {"CONFIG_PAHOLE": version}, "CONFIG_BTF")
    assert (why == "") is met
    assert met or why == f"it depends on PAHOLE >= 116 (PAHOLE={version})"


def test_the_options_that_an_option_depends_on(tree: Path) -> None:
    found = dependencies(tree, "x86")
    assert found["CONFIG_KVM_AMD"] == {
        *("CONFIG_KVM", "CONFIG_CPU_SUP_AMD", "CONFIG_CPU_SUP_HYGON", "CONFIG_PCI"),
    }
    assert found["CONFIG_VIRTIO_NET"] == {"CONFIG_VIRTIO", "CONFIG_SMP", "CONFIG_NET"}
    assert found["CONFIG_EITHER"] == {"CONFIG_A_ONE", "CONFIG_A_TWO"}


def test_a_help_text_is_no_part_of_the_language(tree: Path) -> None:
    assert dependencies(tree, "x86")["CONFIG_EITHER"] == {"CONFIG_A_ONE", "CONFIG_A_TWO"}


def test_what_can_be_set(tree: Path) -> None:
    found = symbols(lambda name: (tree / name).read_text(), "x86")
    assert (found["VIRTIO_NET"].type, found["VIRTIO_NET"].prompt) == ("tristate", True)
    assert (found["KVM_AMD"].type, found["KVM_AMD"].prompt) == ("tristate", False)
    assert (found["PCI"].type, found["PCI"].prompt) == ("bool", True)
