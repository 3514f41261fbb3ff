from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBase, KernelConfig
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.host.cache import digest
from toolkit.kernel import build_folders, build_rules
from toolkit.kernel.build_folders import WorkTree, has_built
from toolkit.kernel.toolchain import CLANG, GCC, Toolchain


@pytest.fixture
def work(tmp_path: Path) -> WorkTree:
    base = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), "base")
    tree = PatchedTree(base, None, {}, "tree")
    return WorkTree(tmp_path, tree, lambda *_: None, Deadline.after(60))


def config(options: range, *more: str) -> KernelConfig:
    text = "\n".join([*(f"CONFIG_{number}=y" for number in options), *more])
    return KernelConfig(text, digest(text))


def with_file(tree: PatchedTree, name: str, text: str) -> PatchedTree:
    return replace(tree, files={**tree.files, name: PatchedFile(text.encode())})


def configured(work: WorkTree, wanted: KernelConfig) -> Path:
    output = work.output(wanted)
    (output / ".config").write_text(wanted.text)
    return output


def test_a_near_configuration_has_the_same_build_folder(work: WorkTree) -> None:
    first = configured(work, config(range(100)))
    assert configured(work, config(range(101))) == first
    assert configured(work, config(range(200))) != first
    counting = configured(work, config(range(100), "CONFIG_GCOV_KERNEL=y"))
    assert counting.name.startswith("gcov-")


def test_a_folder_saves_work_only_where_a_near_configuration_was_built(work: WorkTree) -> None:
    near, far = config(range(101)).text, config(range(200)).text
    output = configured(work, config(range(100)))
    assert not has_built(work.folder, near, GCC)  # another run's first build may be at work in it
    (output / build_folders.STEPS).write_text("1200")
    assert has_built(work.folder, near, GCC)
    assert not has_built(work.folder, far, GCC)
    assert not has_built(work.folder, f"{near}\nCONFIG_GCOV_KERNEL=y", GCC)
    assert not has_built(work.folder / "absent", near, GCC)
    assert not has_built(work.folder, near, CLANG), "another compiler has built nothing"


def test_a_first_build_is_seen_from_its_start_to_its_end(work: WorkTree) -> None:
    near, far = config(range(101)).text, config(range(200)).text

    def building(options: str = near, toolchain: Toolchain = GCC) -> bool:
        return build_folders.is_building(work.folder, options, toolchain)

    assert not building()
    output = work.output(config(range(100)))
    assert building()
    assert not building(far)
    assert not building(near, CLANG)
    (alive,) = (path for path in output.iterdir() if path.name != ".config")
    os.utime(alive, (1_000_000, 1_000_000))
    assert not building(), "it has said nothing for long: it hangs, or was killed"
    build_folders.sign_of_life(output)
    assert building()
    (output / build_folders.STEPS).write_text("1200")
    assert not building(), "it is done"
    assert has_built(work.folder, near, GCC)


def test_a_sign_of_life_follows_no_link_that_the_build_made(work: WorkTree, tmp_path: Path) -> None:
    output = work.output(config(range(100)))
    other = tmp_path / "other"
    other.touch()
    os.utime(other, (1_000_000, 1_000_000))
    (alive,) = (path for path in output.iterdir() if path.name != ".config")
    alive.unlink()
    build_folders.sign_of_life(output)
    assert not alive.exists()
    alive.symlink_to(other)
    build_folders.sign_of_life(output)
    work.output(config(range(100)))
    assert not alive.is_symlink()
    assert other.stat().st_mtime == 1_000_000


def test_what_a_series_makefile_leaves_behind_reaches_no_other_series(work: WorkTree) -> None:
    def places(tree: PatchedTree) -> list[Path]:
        its = replace(work, tree=tree)
        objects = [configured(its, config(range(100))), its.suite_objects("kvm-1")]
        return [*objects, its.place("conf")]

    honest = work.tree
    first = places(honest)
    files = {"code.c": "int x;", "Makefile": "obj-y += code.o", "Kconfig": "config A\n\tbool"}
    for name, text in files.items():  # which runs nothing
        honest = with_file(honest, name, text)
        assert places(honest) == first, name
    evil = with_file(honest, "Makefile", "$(shell cp evil.o $(O)/kvm.o)")
    (place, _, _) = hostile = places(evil)
    assert not set(hostile) & set(first)
    assert not build_folders.has_built(work.folder, config(range(100)).text, GCC, "other rules")
    (place / build_folders.STEPS).write_text("1200")
    rules = build_rules.rules(evil)
    assert has_built(work.folder, config(range(101)).text, GCC, rules)
    assert not has_built(work.folder, config(range(101)).text, GCC)
    edited = with_file(evil, "code.c", "int edited;")
    assert places(edited) == hostile, "the same rules go on where they were"
    # Of a suite's build only: what of the tree's selftests it includes.
    included = with_file(honest, "tools/testing/selftests/lib.mk", "$(shell touch x)")
    kernel, suite, conf = places(included)
    assert [kernel, conf] == [first[0], first[2]] and suite not in (first[1], hostile[1])


def test_the_surplus_of_all_toolchains_goes(
    work: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_folders, "_KEPT", {("out", "gcov"): 2, ("suite",): 2})
    for age, name in enumerate(("clang-19", "clang", "gcc", "gcc-11")):
        work.toolchain = Toolchain(name)
        for folder in (work.suite_objects("kvm-1"), configured(work, config(range(100)))):
            os.utime(folder, (1_000_000 + age,) * 2)
    kept = sorted(path.name.rpartition("-")[0] for path in work.folder.iterdir())
    assert kept == ["gcc-11-out", "gcc-11-suite-kvm", "out", "suite-kvm"]


def test_build_folders_not_used_for_longest_go(
    work: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_folders, "_KEPT", {("out", "gcov"): 2, ("suite",): 1})
    objects = work.suite_objects("kvm-1")
    outputs = [configured(work, config(range(count))) for count in (100, 200)]
    for age, folder in enumerate(outputs):
        os.utime(folder, (1_000_000 - age,) * 2)
    configured(work, config(range(200)))  # used again
    last = configured(work, config(range(300), "CONFIG_GCOV_KERNEL=y"))
    assert [path.exists() for path in (*outputs, last, objects)] == [False, True, True, True]
    os.utime(objects, (1_000_000,) * 2)
    assert work.suite_objects("kvm-2").exists()
    assert not objects.exists()
