from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree
from toolkit.core.arch import X86_64
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, InfrastructureError, UserError
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.core.observer import Silent
from toolkit.host import integrity
from toolkit.host.cache import Cache
from toolkit.kernel import gcov_build, kbuild, worktree
from toolkit.kernel.configure import Wanted, configure
from toolkit.kernel.kconfig import parse_fragment
from toolkit.kernel.toolchain import Toolchain

# A kernel for people in a hurry: the targets that the toolkit asks for, and what it reads after.
MAKEFILE = """
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
counts = $(foreach @,$(CURDIR)/$(1),$(if $(CONFIG_GCOV_PROFILE_ALL),-ftest-coverage))
here = $(CURDIR)/shared.h
tinyconfig:
\t@echo '# CONFIG_MODULES is not set' > $(O)/.config
olddefconfig:
\t@grep -v DROP $(O)/.config > $(O)/new; mv $(O)/new $(O)/.config
vmlinux modules headers:
\t@echo '  CC      init/$@.o'
\t@cat code.c; grep -q broken code.c && { echo 'code.c:1:1: error: broken' >&2; exit 1; } || true
\t@! grep endless code.c || { sleep 50; touch $(O)/finished; }
\t@mkdir -p $(O)/include/config $(O)/usr/include/linux
\t@cp code.c $(O)/vmlinux; touch $(O)/System.map
\t@printf '%s\\n' 'cmd := gcc $(call counts,code.o)' 'deps := $(CURDIR)/code.c $(here)' \\
\t\t> $(O)/.code.o.cmd
\t@printf notes > $(O)/code.gcno
\t@printf '!<thin>\\n//%46s%-10d`\\ncode.o/\\n' '' 8 > $(O)/vmlinux.a
\t@echo 6.12.1 > $(O)/include/config/kernel.release
\t@cp code.c $(O)/usr/include/linux/kvm.h; touch $(O)/usr/include/linux/.kvm.h.cmd
\t@echo 'deps := $(CURDIR)/kvm.c $(here)' > $(O)/.kvm.o.cmd
\t@echo kvm.o | tee $(O)/modules.order > $(O)/kvm.mod; cp kvm.c $(O)/kvm.ko
\t@! test -e records.sh || sh records.sh $(O)
modules_install:
\t@mkdir -p $(INSTALL_MOD_PATH)/lib/modules/6.12.1
\t@cp $(O)/kvm.ko $(INSTALL_MOD_PATH)/lib/modules/6.12.1/; cat $(O)/modules.order
\t@ln -s $(O) $(INSTALL_MOD_PATH)/lib/modules/6.12.1/build
.PHONY: vmlinux modules headers
.NOTPARALLEL:
"""
# Leaves what kbuild leaves beside a module; what it says of the compiler runs again in a replay.
RECORDS = r"""
source=$PWD; cd "$1"; mkdir -p scripts/basic
cat >scripts/basic/fixdep <<'END'
#!/bin/sh
printf 'savedcmd_%s := %s\n\nsource_%s := kvm.c\n\ndeps_%s := ' "$2" "$3" "$2" "$2"; cat $1
printf '\n%s: $(deps_%s)\n\n$(deps_%s):\n' "$2" "$2" "$2"
END
chmod +x scripts/basic/fixdep
list="echo $source/kvm.c $source/shared.h"
compile=": -Wp,-MMD,.kvm.o.d ; $list >.kvm.o.d; cp $source/kvm.c kvm.o"
$list >.kvm.o.d
scripts/basic/fixdep .kvm.o.d kvm.o "$compile; if grep broken kvm.o; then exit 1; fi" >.kvm.o.cmd
touch kvm.mod.c kvm.mod.o .kvm.mod.o.d
describe=": -Wp,-MMD,.kvm.mod.o.d ; cp kvm.mod.c kvm.mod.o"
scripts/basic/fixdep .kvm.mod.o.d kvm.mod.o "$describe" >.kvm.mod.o.cmd
echo 'savedcmd_Module.symvers := :' >.Module.symvers.cmd
echo 'savedcmd_kvm.ko := cp kvm.o kvm.ko' >.kvm.ko.cmd
"""


def lay(tree: PatchedTree, target: Path, deadline: Deadline) -> None:
    target.mkdir(exist_ok=True)
    (target / "Makefile").write_text(MAKEFILE)
    for name, file in tree.files.items():
        assert file.content is not None
        (target / name).write_bytes(file.content)


def a_tree(code: str = "int x;", **files: str) -> PatchedTree:
    base = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), "base")
    contents = {"code.c": code, "kvm.c": "int y;", "shared.h": "int z;", **files}
    return PatchedTree(
        base, None, {n: PatchedFile(t.encode()) for n, t in contents.items()}, f"tree-{contents}"
    )


@pytest.fixture
def builder(tmp_path: Path) -> kbuild.Builder:
    return kbuild.Builder(Cache(tmp_path / "cache"), X86_64, lay, 2, Silent())


def configured(
    builder: kbuild.Builder, tree: PatchedTree, fragments: Sequence[Fragment]
) -> tuple[KernelConfig, bool]:
    return configure(builder, tree, Wanted(tuple(fragments)), soon())


def soon() -> Deadline:
    return Deadline.after(60)


def test_builds_once_and_keeps_what_later_stages_take(
    builder: kbuild.Builder, tmp_path: Path
) -> None:
    fragment = parse_fragment("CONFIG_MODULES=y\nCONFIG_KVM=m", "suite kvm")
    config, found = configured(builder, a_tree(), [fragment])
    assert not found
    assert "CONFIG_KVM=m" in config.text
    log = tmp_path / "build.log"
    build, found = builder.build(a_tree(), config, soon(), log)
    assert (found, build.release) == (False, "6.12.1")
    assert build.image.read_text() == "int x;"
    assert (build.headers / "include/linux/kvm.h").exists()
    assert not (build.headers / "include/linux/.kvm.h.cmd").exists()
    assert build.modules is not None
    with tarfile.open(build.modules) as archive:
        names = archive.getnames()
    assert "lib/modules/6.12.1/kvm.ko" in names
    assert "lib/modules/6.12.1/build" not in names
    assert "CC      init/vmlinux.o" in log.read_text()
    again, found = builder.build(a_tree(), config, soon(), tmp_path / "second.log")
    assert (found, again) == (True, build)
    assert (tmp_path / "second.log").read_text() == log.read_text()


@pytest.mark.parametrize("kind", ["GZIP", "XZ", "ZSTD"])
def test_modules_are_installed_as_they_are_whatever_compresses_them(
    builder: kbuild.Builder, tmp_path: Path, kind: str
) -> None:
    option = f"CONFIG_MODULE_COMPRESS_{kind}"
    fragment = parse_fragment(f"CONFIG_MODULES=y\n{option}=y", "f")
    config, _ = configured(builder, a_tree(), [fragment])
    build, _ = builder.build(a_tree(), config, soon(), tmp_path / "build.log")
    commands = (tmp_path / "build.log").read_text().split("\n$ make ")
    line = commands[-1].partition("\n")[0]
    assert line.endswith(f" {option}=")
    assert build.modules is not None


def test_toolchains_have_folders_of_their_own(builder: kbuild.Builder) -> None:
    """The configurations differ in less than those that share one."""
    near = KernelConfig("CONFIG_CC_IS_GCC=y\n", "key"), KernelConfig("CONFIG_X=y\n", "yek")
    places = []
    names = ("gcc", "gcc-11", "clang", "clang-19")
    for toolchain in (*map(Toolchain, names), Toolchain("gcc", kcflags="-O3")):
        each = replace(builder, toolchain=toolchain)
        with each.work_tree(a_tree(), soon()) as work:
            (work.output(near[0]) / ".config").write_text(near[0].text)
            assert work.output(near[1]) == work.output(near[0])
            places += [work.output(near[0]), work.place("conf"), work.place("lint")]
    assert len(set(places)) == 15


def test_only_near_configurations_share_a_build_folder(
    builder: kbuild.Builder, tmp_path: Path
) -> None:
    def build(options: range) -> None:
        text = "\n".join(f"CONFIG_{number}=y" for number in options)
        config, _ = configured(builder, a_tree(), [parse_fragment(text, "f")])
        builder.build(a_tree(), config, soon(), tmp_path / "log")
        assert any(
            each.read_text() == config.text
            for each in (tmp_path / "cache/work/kernel").glob("*/out-*/.config")
        )

    def folders() -> int:
        return len(list((tmp_path / "cache/work/kernel").glob("*/out-*")))

    build(range(5))
    build(range(6))
    assert folders() == 1
    build(range(200))
    assert folders() == 2


def test_a_kernel_that_counts_lines_is_built_apart_and_keeps_what_reads_them(
    builder: kbuild.Builder, tmp_path: Path
) -> None:
    def build(*options: str) -> tuple[KernelBuild, bool]:
        config, _ = configured(builder, a_tree(), [parse_fragment("\n".join(options), "f")])
        return builder.build(a_tree(), config, soon(), tmp_path / "log")

    plain, _ = build()
    assert gcov_build.load(plain.path) is None
    counting, found = build("CONFIG_GCOV_KERNEL=y")
    assert not found
    profiled = gcov_build.load(counting.path)
    assert profiled is not None
    assert profiled.objects == ("code",)
    assert (profiled.folder / "code.gcno").read_text() == "notes"
    folders = [path.name for path in (tmp_path / "cache/work/kernel").glob("*/*-*")]
    assert sorted(name[:4] for name in folders) == ["gcov", "out-"]


def test_a_series_that_changes_what_a_build_runs_has_a_store_of_its_own(
    builder: kbuild.Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def environment(_: Cache, __: Toolchain, rules: str) -> dict[str, str]:
        asked.append(rules)
        return {}

    monkeypatch.setattr(kbuild, "ccache_environment", environment)
    for tree in (a_tree(), a_tree("int x = 1;"), a_tree(Kbuild="x"), a_tree("int x;", Kbuild="x")):
        config, _ = configured(builder, tree, [])
        builder.build(tree, config, soon(), tmp_path / "log")
    assert asked[:2] == ["", ""]
    assert asked[2]


def test_edits_of_one_tree_share_their_work_folder(builder: kbuild.Builder, tmp_path: Path) -> None:
    for key in ("before", "after"):
        base = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), key, lineage="fake")
        tree = PatchedTree(base, None, a_tree().files, key)
        config, _ = configured(builder, tree, [])
        assert not builder.build(tree, config, soon(), tmp_path / "log")[1]
    assert len(list((tmp_path / "cache/work/kernel").glob("*/src"))) == 1


def test_commits_with_the_same_kconfig_files_have_one_configuration(
    builder: kbuild.Builder, tmp_path: Path
) -> None:
    fragment = parse_fragment("CONFIG_KVM=m", "suite kvm")
    found = []
    for number, (file, text) in enumerate(
        [
            ("kernel/fork.c", "a"),
            ("kernel/fork.c", "b"),
            ("virt/kvm/Kconfig", "c"),
            ("Makefile", "d"),
        ]
    ):
        path = tmp_path / f"commit{number}"
        for name in ("kernel/fork.c", "virt/kvm/Kconfig", "Makefile", "lib/Makefile"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text if name == file else f"{number}" * (name[0] == "l"))
        base = KernelBase(f"git:{number}", "6.12.1", path, f"tree{number}", lineage="one")
        tree = PatchedTree(base, None, {}, f"tree{number}")
        found.append(configured(builder, tree, [fragment])[1])
    assert found == [False, True, False, False]


def test_c_code_does_not_run_kconfig_again_and_a_kconfig_file_does(
    builder: kbuild.Builder,
) -> None:
    fragment = parse_fragment("CONFIG_KVM=y", "suite kvm")
    configured(builder, a_tree(), [fragment])
    assert configured(builder, a_tree("int y;"), [fragment])[1]
    assert not configured(builder, a_tree(Kconfig="config NEW"), [fragment])[1]


def test_a_dropped_option_is_refused_and_nothing_is_cached(builder: kbuild.Builder) -> None:
    fragment = parse_fragment("CONFIG_DROP_ME=y", "suite kvm")
    for _ in range(2):
        with pytest.raises(UserError, match="Kconfig dropped CONFIG_DROP_ME=y, which suite kvm"):
            configured(builder, a_tree(), [fragment])


def test_a_dropped_wish_is_told_each_time_and_is_no_error(tmp_path: Path) -> None:
    class Ear(Silent):
        def notice(self, text: str) -> None:
            heard.append(text)

    heard: list[str] = []
    builder = kbuild.Builder(Cache(tmp_path / "cache"), X86_64, lay, 2, Ear())
    wish = Fragment("upstream", {"CONFIG_DROP_ME": "y", "CONFIG_KVM": "y"}, soft=True)
    for found in (False, True):
        assert configured(builder, a_tree(), [wish])[1] is found
    words = "no Kconfig file of this kernel defines it"
    assert heard == [f"Kconfig dropped CONFIG_DROP_ME=y ({words}), asked for by upstream"] * 2
    firm = parse_fragment("CONFIG_DROP_ME=y", "suite kvm")
    with pytest.raises(UserError, match="which suite kvm asks for"):
        configured(builder, a_tree(), [wish, firm])


def test_a_build_break_shows_the_compilers_lines_and_keeps_the_log(
    builder: kbuild.Builder, tmp_path: Path
) -> None:
    config, _ = configured(builder, a_tree(), [])
    log = tmp_path / "build.log"
    with pytest.raises(BuildError) as caught:
        builder.build(a_tree("broken"), config, soon(), log)
    assert any("code.c:1:1: error: broken" in line for line in caught.value.detail)
    assert "error: broken" in log.read_text()
    assert builder.build(a_tree(), config, soon(), log)[0].release == "6.12.1"


class Workshop:
    """Builds a tree with one module again and again, and says what was made each time."""

    def __init__(self, tmp_path: Path, records: str = RECORDS) -> None:
        make_tree(tmp_path / "base", **{"Makefile": MAKEFILE, "records.sh": records})
        self.base = KernelBase("tree:fake", "6.12.1", tmp_path / "base", "base")
        self.log = tmp_path / "build.log"
        cache = Cache(tmp_path / "cache")
        self.builder = kbuild.Builder(cache, X86_64, worktree.materialise, 2, Silent())

    def build(self, text: str = "CONFIG_MODULES=y", **files: str) -> str:
        """Return "all", "modules" or "nothing", after a look at what was built."""
        contents = dict(a_tree(**files).files)
        tree = PatchedTree(self.base, None, contents, f"tree-{contents}")
        config, _ = configured(self.builder, tree, [parse_fragment(text, "f")])
        self.log.unlink(missing_ok=True)
        build, _ = self.builder.build(tree, config, soon(), self.log)
        assert build.image.read_bytes() == contents["code.c"].content
        assert build.modules is not None
        with tarfile.open(build.modules) as archive:
            module = archive.extractfile("lib/modules/6.12.1/kvm.ko")
            assert module is not None
            assert module.read() == contents["kvm.c"].content
        said = self.log.read_text()
        replayed = "set -e; cp kvm.o kvm.ko" in said
        if "CC      init/vmlinux.o" in said:
            assert not replayed
            return "all"
        return "modules" if replayed else "nothing"


def test_an_edit_of_a_module_s_file_builds_modules_alone(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    kvm = "kvm.c"
    assert shop.build() == "all"
    assert shop.build(**{kvm: "one"}) == "modules"
    assert shop.build(**{kvm: "two"}) == "modules"
    assert shop.build(**{kvm: "two", "MAINTAINERS": "A: B"}) == "nothing"
    assert shop.build(**{kvm: "two", "shared.h": "int a;"}) == "all"
    assert shop.build(code="int b;", **{kvm: "two"}) == "all"
    assert shop.build(**{kvm: "three", "new.h": "int c;"}) == "all"
    assert shop.build("CONFIG_MODULES=y\nCONFIG_A=y", **{kvm: "four", "new.h": "int c;"}) == "all"
    assert (
        shop.build("CONFIG_MODULES=y\nCONFIG_A=y", **{kvm: "five", "new.h": "int c;"}) == "modules"
    )


def test_without_replay_make_builds_every_edit(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.build()
    replaying, shop.builder = shop.builder, replace(shop.builder, replay=False)
    assert shop.build(**{"kvm.c": "one"}) == "all"
    shop.builder = replaying
    assert shop.build(**{"kvm.c": "two"}) == "modules"


def test_modules_that_do_not_build_alone_are_left_to_the_whole_build(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.build()
    assert shop.build(**{"kvm.c": "broken alone"}) == "all"
    assert shop.build(**{"kvm.c": "whole"}) == "modules"


def test_a_build_that_was_broken_off_is_made_whole(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.build()
    with pytest.raises(BuildError):
        shop.build(code="broken")
    assert shop.build(**{"kvm.c": "other"}) == "all"
    assert shop.build(**{"kvm.c": "another"}) == "modules"


def test_a_run_that_was_killed_after_its_build_leaves_no_half_of_it(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.build()
    # As of a run that was killed while make installed the modules: what is new there goes.
    (output,) = (tmp_path / "cache/work/kernel").glob("*/out-*")
    (output / ".toolkit-unfinished").touch()
    assert shop.build(**{"kvm.c": "one"}) == "all"
    assert shop.build(**{"kvm.c": "two"}) == "modules"


def test_a_replay_that_is_killed_leaves_a_mark(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, RECORDS.replace("kvm.ko'", "kvm.ko; ls .toolkit-unfinished'"))
    shop.build()
    assert shop.build(**{"kvm.c": "one"}) == "modules"
    assert not list((tmp_path / "cache/work/kernel").glob("*/out-*/.toolkit-unfinished"))


def test_runs_on_one_base_build_side_by_side_and_share_no_file_that_changes(
    tmp_path: Path,
) -> None:
    shop = Workshop(tmp_path)
    shop.build()
    (first,) = (tmp_path / "cache/work/kernel").glob("*/src")
    edited, names = {"kvm.c": "another"}, ("kvm.c", "code.c", "Makefile")
    before = [(first / name).read_text() for name in names]
    other = replace(shop.builder, cache=Cache(tmp_path / "cache"))
    tree = PatchedTree(shop.base, None, a_tree().files, "tree")
    with shop.builder.work_tree(tree, soon()) as work:  # which no build has been made in meanwhile
        mine, shop.builder = shop.builder, other
        # The other configuration is not near what was built, so nobody waits.
        far = "\n".join(["CONFIG_MODULES=y", *(f"CONFIG_{n}=y" for n in range(99))])
        assert shop.build(far, **edited) == "all"
        assert work.folder == first.parent
    second = first.parents[1] / f"{first.parent.name}.1/src"
    assert (second / "kvm.c").read_text() == "another"
    assert [(first / name).read_text() for name in names] == before
    assert (second / "Makefile").samefile(first / "Makefile")  # a file of the base is not copied
    shop.builder = mine
    assert shop.build(**{"kvm.c": "one"}) == "modules"


@pytest.mark.parametrize("when", ["before", "while it is read", "made anew"])
def test_a_base_that_another_run_removes_is_no_fault_of_the_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    shop = Workshop(tmp_path)
    if when == "before":
        shop.base.path.rename(tmp_path / "gone")
    else:
        shop.build()
        materialise = shop.builder.materialise

        def in_between(tree: PatchedTree, target: Path, deadline: Deadline) -> object:
            shop.base.path.rename(tmp_path / "gone")
            if when == "made anew":
                shutil.copytree(tmp_path / "gone", shop.base.path)
            return materialise(tree, target, deadline)

        monkeypatch.setattr(shop, "builder", replace(shop.builder, materialise=in_between))
    with pytest.raises(InfrastructureError, match="was removed while it was read") as caught:
        shop.build(**{"kvm.c": "new"})
    assert "run again" in caught.value.hint
    assert not list((tmp_path / "cache/work/kernel").glob("*/src"))


@pytest.mark.parametrize("code", ["int x;", "broken", "endless"])
def test_a_base_that_was_written_to_is_removed_and_nothing_of_it_kept(
    tmp_path: Path, code: str
) -> None:
    shop = Workshop(tmp_path)
    entry = tmp_path / "entry"
    entry.mkdir()
    shop.base.path.rename(entry / "tree")
    shop.base = replace(shop.base, path=entry / "tree")
    integrity.remember_stamps(shop.base.path)
    shop.build()
    (source,) = (tmp_path / "cache/work/kernel").glob("*/src")
    with (entry / "tree/Kconfig").open("a") as damaged:
        damaged.write("!")
    built = sorted((tmp_path / "cache/build").glob("*/build.json"))
    # Whatever else it did to the build: the compiler's words are not the series' fault.
    with pytest.raises(InfrastructureError, match="damaged: Kconfig has changed") as caught:
        shop.build(code=code, **{"kvm.c": "new"})
    assert "run again" in caught.value.hint
    assert not entry.exists()
    assert not source.exists()
    assert not list(source.parent.glob("*/finished"))  # nobody waits for the end of such a build
    assert sorted((tmp_path / "cache/build").glob("*/build.json")) == built
    make_tree(shop.base.path, **{"Makefile": MAKEFILE})
    assert shop.build(**{"kvm.c": "new"}) == "all"
