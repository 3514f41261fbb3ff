from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_tree import make_base
from toolkit.core.arch import ARM64, RISCV64, X86_64, Arch
from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.model.testing import BuiltSuite
from toolkit.testing import in_tree_suites

SELFTESTS = in_tree_suites.FOLDER
TARGETS = ("kvm", "filesystems", "filesystems/eventfd", "net/lib", "bpf/lib", "timers")
DATA = Path(__file__).parents[2] / "data/upstream"


def tree(root: Path, **files: str | None) -> PatchedTree:
    """Return a tree with the targets, and ``files`` as a series leaves them."""
    config = {f"{SELFTESTS}/kvm/config": "CONFIG_KVM=y\n# why\nodd\n"}
    base = make_base(
        root, **config, **{f"{SELFTESTS}/{each}/Makefile": "all:\n" for each in TARGETS}
    )
    patched = {
        name: PatchedFile(None if text is None else text.encode()) for name, text in files.items()
    }
    return PatchedTree(base, None, patched, "key")


def test_a_target_is_a_folder_with_a_makefile_once_the_series_is_applied(tmp_path: Path) -> None:
    changed = tree(
        tmp_path / "a",
        **{
            f"{SELFTESTS}/new/Makefile": "all:\n",
            f"{SELFTESTS}/timers/Makefile": None,
            "other/Makefile": "",
        },
    )
    assert in_tree_suites.targets(changed) == sorted({*TARGETS, "new"} - {"timers"})


def test_a_series_own_tests_are_the_innermost_targets_that_it_changes(tmp_path: Path) -> None:
    changed = tree(
        tmp_path / "a",
        **{
            f"{SELFTESTS}/filesystems/eventfd/eventfd_test.c": "int a;\n",
            f"{SELFTESTS}/kvm/x86_64/new_test.c": "int a;\n",
            f"{SELFTESTS}/kselftest.h": "int a;\n",  # every target's, and so nobody's own
            "virt/kvm/eventfd.c": "int a;\n",
        },
    )
    assert in_tree_suites.touched(changed) == ("upstream:filesystems/eventfd", "upstream:kvm")
    assert in_tree_suites.touched(tree(tmp_path / "b")) == ()


LIST = """# SPDX-License-Identifier: GPL-2.0
TARGETS += kvm
TARGETS +=  filesystems filesystems/eventfd
TARGETS += gone
TARGETS_HOTPLUG = timers
		echo TARGETS += timers
ifneq ($(SKIP_TARGETS),)
	override TARGETS := $(TMP)
endif
TARGETS += bpf/lib
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["upstream:*"], "bpf/lib filesystems filesystems/eventfd kvm"),
        (["upstream:file*"], "filesystems filesystems/eventfd"),
        (["upstream:[kt]*"], "kvm"),
        (["upstream:?vm", "upstream:*v*", "upstream:timers"], "kvm filesystems/eventfd timers"),
        (["upstream:k*", "upstream:kvm"], "kvm"),
    ],
)
def test_a_glob_is_all_targets_that_fit_and_are_listed(
    tmp_path: Path, names: list[str], expected: str
) -> None:
    with_list = tree(tmp_path, **{f"{SELFTESTS}/Makefile": LIST})
    wanted = tuple(f"upstream:{each}" for each in expected.split())
    assert in_tree_suites.expand(names, lambda: with_list) == wanted


def test_a_glob_that_no_target_fits(tmp_path: Path) -> None:
    with_list = tree(tmp_path / "a", **{f"{SELFTESTS}/Makefile": LIST})
    with pytest.raises(UserError, match=r"'kvn\*' is none of the selftests") as caught:
        in_tree_suites.expand(["upstream:kvn*"], lambda: with_list)
    assert caught.value.hint == "did you mean upstream:kvm?"
    without = tree(tmp_path / "b")
    with pytest.raises(UserError, match="none of the selftests"):
        in_tree_suites.expand(["upstream:*"], lambda: without)


def test_other_names_stay_as_they_are_and_ask_for_no_tree() -> None:
    names = ("kvm", "upstream:kvm", "kunit:list*", "./my-[suite]", "kvm", "upstream-kvm")
    assert in_tree_suites.expand(names, lambda: pytest.fail("no tree")) == names


def test_the_end_of_a_path_names_a_target_where_it_is_the_only_one(tmp_path: Path) -> None:
    plain = tree(tmp_path / "a")
    assert in_tree_suites.resolve(plain, "filesystems") == "filesystems"
    assert in_tree_suites.resolve(plain, "eventfd") == "filesystems/eventfd"
    with pytest.raises(UserError, match="'lib' names several") as caught:
        in_tree_suites.resolve(plain, "lib")
    assert caught.value.hint == "did you mean upstream:bpf/lib or upstream:net/lib?"
    with pytest.raises(UserError, match="'kvn' is none of the selftests") as caught:
        in_tree_suites.resolve(plain, "kvn")
    assert "upstream:kvm" in caught.value.hint
    with pytest.raises(UserError) as caught:
        in_tree_suites.resolve(plain, "zzzzzz")
    assert caught.value.hint == "there is: bpf, filesystems, kvm, net, timers"


@pytest.mark.parametrize("target", TARGETS)
def test_a_suite_s_name_leads_back_to_its_target(tmp_path: Path, target: str) -> None:
    name = in_tree_suites.suite_name(target)
    assert not set(name) & set("/:")
    assert in_tree_suites.of_suite(tree(tmp_path / "a"), name) == target


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), "kvm upstream-kvm upstream-net-lib kunit"),
        (("kvm",), "kvm"),
        (("upstream:kvm",), "upstream-kvm"),
        (("upstream-kvm", "kvm"), "kvm upstream-kvm"),
        (("upstream:net/lib",), "upstream-net-lib"),
        (("upstream:lib",), "upstream-net-lib"),
        (("upstream:ib", "net-lib"), ""),
        (("kunit:list*",), "kunit"),
        (("upstream:*",), "upstream-kvm upstream-net-lib"),
        (("upstream:net/*",), "upstream-net-lib"),
    ],
)
def test_suites_of_a_saved_build_go_by_the_same_names(
    wanted: tuple[str, ...], expected: str
) -> None:
    names = ("kvm", "upstream-kvm", "upstream-net-lib", "kunit")
    saved = [BuiltSuite(each, Path(), ()) for each in names]
    assert " ".join(each.name for each in in_tree_suites.chosen(saved, wanted)) == expected


def test_settings_are_as_the_series_leaves_them(tmp_path: Path) -> None:
    changed = tree(tmp_path / "a", **{f"{SELFTESTS}/timers/settings": "timeout=9\n"})
    assert in_tree_suites.settings(changed, "timers") == "timeout=9\n"
    assert in_tree_suites.settings(changed, "kvm") == ""


def test_the_target_s_own_options_are_wishes(tmp_path: Path) -> None:
    standard, fragment = in_tree_suites.fragments(tree(tmp_path / "a"), "kvm", X86_64)
    assert (fragment.options, fragment.soft) == ({"CONFIG_KVM": "y"}, True)
    assert fragment.origin == "tools/testing/selftests/kvm/config"
    assert in_tree_suites.fragments(tree(tmp_path / "b"), "timers", X86_64) == (standard,)
    # Of it no target has a word in its config.
    assert standard.soft
    assert {"CONFIG_MEMBARRIER", "CONFIG_PID_NS"} <= set(standard.options)


@pytest.mark.parametrize(
    ("arch", "names"),
    [
        (X86_64, ["config", "config.x86_64"]),
        (ARM64, ["config", "config.aarch64"]),
        (RISCV64, ["config", "config.riscv", "config.riscv64"]),
    ],
)
def test_options_for_one_architecture_alone(tmp_path: Path, arch: Arch, names: list[str]) -> None:
    """As bpf has them in 6.12, and hid; um is make's ARCH of User Mode Linux."""
    others = ("x86_64", "aarch64", "riscv", "riscv64", "s390x", "um", "vm")
    files = {f"{SELFTESTS}/kvm/config.{other}": f"CONFIG_ON_{other}=y\n" for other in others}
    _, *found = in_tree_suites.fragments(tree(tmp_path / "a", **files), "kvm", arch)
    assert [Path(each.origin).name for each in found] == names
    assert all(each.soft for each in found)


def test_programs_are_named_once_and_noise_is_none() -> None:
    said = "Warning: no libcap\nkvm:smm_test\nkvm:smm_test\n:a.sh\n:../up\n:..\nx: y\n:-f\n"
    assert in_tree_suites.emitted(said) == ["smm_test", "a.sh"]


@given(st.text(alphabet=string.printable))
def test_no_program_s_name_leaves_its_folder(text: str) -> None:
    for name in in_tree_suites.emitted(text):
        assert Path(name).name == name
        assert name not in (".", "..")


def test_what_does_not_build_is_told_with_the_compiler_s_lines() -> None:
    place, objects = Path("/cache/upstream/timers"), Path("/cache/objects")
    lines = (DATA / "make.log").read_text().splitlines()
    found = in_tree_suites.faults(lines, (place, objects))
    shown = "".join(f"== {name}\n{said}\n" for name, said in found.items())
    assert shown == (DATA / "faults.txt").read_text()


@given(st.lists(st.text(alphabet="*[]/ :oErra1\tgc.", max_size=30)))
def test_reading_a_log_never_raises(lines: list[str]) -> None:
    for said in in_tree_suites.faults(lines, (Path("/a"),)).values():
        assert said.count("\n") <= 12


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "a.c:1:10: fatal error: sys/capability.h: No such file or directory\n"
            "    1 | #include <sys/capability.h>\ncompilation terminated.",
            "could not be built here: needs libcap",
        ),
        ("ld: cannot find -lnosuch: No such file", "could not be built here: needs libnosuch"),
        (
            "a.c:1:10: fatal error: linux/new.h: No such file or directory\n"
            "    1 | #include <linux/new.h>",
            "it does not build",
        ),
        (
            'a.c:1:10: fatal error: mine.h: No such file or directory\n    1 | #include "mine.h"',
            "it does not build",
        ),
        ("a.c:1:1: error: expected ';'", "it does not build"),
    ],
)
def test_why_a_program_is_not_built(output: str, reason: str) -> None:
    assert in_tree_suites.unbuilt_because(output) == f"{reason}\n{output}"
