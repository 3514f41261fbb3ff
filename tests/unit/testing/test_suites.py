from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from toolkit.core.arch import ARM64, RISCV64, X86_64
from toolkit.core.errors import BuildError, UserError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.result import Verdict
from toolkit.core.model.series import KnownFailure, PatchedFile, PatchedTree
from toolkit.core.model.testing import BuiltSuite
from toolkit.core.observer import Silent
from toolkit.formats import elf
from toolkit.formats.manifest import Manifest, load
from toolkit.host.cache import Cache
from toolkit.kernel import kconfig, worktree
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.toolchain import CLANG
from toolkit.testing import in_tree_suites, suites, verdicts
from toolkit.testing.suite_manifest import Allowed, AllowManifest, SuiteManifest

SELFTESTS = in_tree_suites.FOLDER
# What the toolkit asks of the tree's lib.mk, and no more.
LIB_MK = """
PROGRAMS := $(addprefix $(OUTPUT)/,$(TEST_GEN_PROGS) $(TEST_GEN_PROGS_EXTENDED))
all: $(PROGRAMS)
$(OUTPUT)/%: %.c
\t$(CC) $(KHDR_INCLUDES) $< -o $@
install: all
\tmkdir -p $(INSTALL_PATH)
\trsync -a $(PROGRAMS) $(TEST_PROGS) $(INSTALL_PATH)/
\t$(if $(TEST_INCLUDES),test -n "$(OBJ_PATH)" && for entry in $(TEST_INCLUDES); do \\
\t\tfolder=$$(readlink -e "$$(dirname "$$entry")"); \\
\t\t(cd $(SRC_PATH) && rsync -aR "$${folder#$(SRC_PATH)/}/$$(basename "$$entry")" $(OBJ_PATH)/); \\
\tdone)
emit_tests:
\tfor name in $(TEST_GEN_PROGS) $(TEST_PROGS); do echo ":$$name"; done
.PHONY: all install emit_tests
"""
MAKEFILE = """
TEST_GEN_PROGS := good broken
TEST_GEN_PROGS_EXTENDED := helper
TEST_PROGS := script.sh
$(shell touch beside-the-source)
include ../lib.mk
"""
GOOD = "#include <uapi.h>\nint main(void) { return ANSWER; }\n"


def no_tree() -> PatchedTree:
    raise AssertionError("nothing of the kernel's own is looked for")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kselftests"
    for name in ("kvm", "net", "lib"):
        (folder / name).mkdir(parents=True)
        (folder / name / "Makefile").write_text("all:\n")
    (folder / "kvm/config").write_text("CONFIG_KVM=m\n")
    (folder / "kvm/settings").write_text("timeout=90\n")
    (folder / "notes").mkdir()
    return folder


def test_reads_config_and_settings(folder: Path) -> None:
    suite = suites.find(folder, "kvm", no_tree, X86_64)
    assert suite.timeout == 90
    (fragment,) = suite.fragments
    assert fragment.options == {"CONFIG_KVM": "m"}
    assert fragment.origin == "kselftests/kvm/config"
    assert not fragment.soft
    assert suite.kvm
    assert not suites.find(folder, "net", no_tree, X86_64).kvm


def test_a_suite_without_them_has_the_kernels_timeout(folder: Path) -> None:
    suite = suites.find(folder, "net", no_tree, X86_64)
    assert suite.timeout == 45
    assert suite.fragments == ()


def test_what_an_architecture_adds(folder: Path) -> None:
    (folder / "net/config").write_text("CONFIG_VETH=y\n")
    (folder / "net/config.arm64").write_text("CONFIG_KVM=y\n")
    (folder / "net/config.x86_64").write_text("CONFIG_KVM_AMD=m\n")
    suite = suites.find(folder, "net", no_tree, ARM64)
    merged = kconfig.merge(suite.fragments)
    assert merged == {
        "CONFIG_VETH": ("y", "kselftests/net/config"),
        "CONFIG_KVM": ("y", "kselftests/net/config.arm64"),
    }
    assert suite.kvm
    assert not suites.find(folder, "net", no_tree, X86_64).kvm
    with pytest.raises(UserError, match="net is for x86_64, arm64, not for riscv64") as caught:
        suites.find(folder, "net", no_tree, RISCV64)
    assert "net/config.riscv64 would say" in caught.value.hint


def test_an_unknown_suite_names_the_nearest_or_all(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        suites.find(folder, "kvn", no_tree, X86_64)
    assert caught.value.hint == "did you mean kvm?"
    with pytest.raises(UserError) as caught:
        suites.find(folder, "lib", no_tree, X86_64)
    assert "kvm, net; upstream:TARGET" in caught.value.hint


def test_a_timeout_of_zero_is_no_limit_and_nonsense_is_refused(folder: Path) -> None:
    (folder / "kvm/settings").write_text("timeout=0\n")
    assert suites.find(folder, "kvm", no_tree, X86_64).timeout == 0
    for nonsense in ("soon", "-1", "nan", "1e400"):
        (folder / "kvm/settings").write_text(f"# slow\ntimeout={nonsense}\n")
        with pytest.raises(UserError, match=f"settings:2: timeout is '{nonsense}'"):
            suites.find(folder, "kvm", no_tree, X86_64)


@pytest.mark.parametrize("name", ["config", "settings"])
def test_what_is_no_text_in_a_suite_is_the_callers_fault(folder: Path, name: str) -> None:
    (folder / "kvm" / name).write_bytes(b"\xff\n")
    with pytest.raises(UserError, match=rf"kvm/{name}: it is not UTF-8 text"):
        suites.find(folder, "kvm", no_tree, X86_64)


# --- the kernel's own ----------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    files = {
        f"{SELFTESTS}/lib.mk": LIB_MK,
        f"{SELFTESTS}/deep/good/Makefile": MAKEFILE,
        f"{SELFTESTS}/deep/good/config": "CONFIG_A=y\nCONFIG_B=y\n",
        f"{SELFTESTS}/deep/good/settings": "timeout=7\n",
        f"{SELFTESTS}/deep/lib.mk": LIB_MK,
        f"{SELFTESTS}/deep/good/good.c": GOOD,
        f"{SELFTESTS}/deep/good/broken.c": "int main(void) { return missing; }\n",
        f"{SELFTESTS}/deep/good/script.sh": "#!/bin/sh\n",
    }
    return PatchedTree(make_base(tmp_path / "base", **files), None, {}, "key")


def test_a_target_of_the_tree_is_a_suite(folder: Path, tree: PatchedTree) -> None:
    for name in ("upstream:deep/good", "upstream:good", "upstream-deep-good"):
        suite = suites.find(folder, name, lambda: tree, X86_64)
        assert (suite.name, suite.target) == ("upstream-deep-good", "deep/good")
        assert (suite.timeout, suite.path) == (7, None)
        assert [each.soft for each in suite.fragments] == [True, True]
    with pytest.raises(UserError, match="'bad' is none of the selftests"):
        suites.find(folder, "upstream-bad", lambda: tree, X86_64)


def test_a_folder_may_carry_more_for_it(folder: Path, tree: PatchedTree) -> None:
    carried = folder / "upstream-deep-good"
    carried.mkdir()
    (carried / "suite.yaml").write_text("upstream: deep/good\ntimeouts: {'b*': 9}\nmemory-mib: 5\n")
    suite = suites.find(folder, "upstream:good", lambda: tree, X86_64)
    assert (suite.timeout, suite.path, suite.allowed) == (7, carried, ())
    (carried / "settings").write_text("timeout=70\n")
    (carried / "config").write_text("CONFIG_B=m\n")
    (carried / "allow.yaml").write_text(
        "allow:\n- {test: good, reason: why}\n"
        "- {test: broken/*, reason: how, action: skip, accel: tcg}\n"
    )
    suite = suites.find(folder, "upstream-deep-good", lambda: tree, X86_64)
    assert (suite.timeout, suite.timeouts, suite.memory_mib) == (70, {"b*": 9}, 5)
    assert [dict(each.options) for each in suite.fragments[1:]] == [
        {"CONFIG_A": "y", "CONFIG_B": "y"},
        {"CONFIG_B": "m"},
    ]
    name = "upstream-deep-good"
    assert suite.allowed == (
        KnownFailure(f"{name}/good", "why", certain=False),
        KnownFailure(f"{name}/broken/*", "how", certain=False, start=False, accel="tcg"),
    )
    (carried / "allow.arm64.yaml").write_text("allow:\n- {test: slow, reason: there}\n")
    assert suites.find(folder, name, lambda: tree, X86_64).allowed == suite.allowed
    other = suites.find(folder, name, lambda: tree, ARM64)
    assert other.allowed == (*suite.allowed, KnownFailure(f"{name}/slow", "there", certain=False))
    (carried / "allow.yaml").write_text("allow:\n- {test: good, raeson: why}\n")
    with pytest.raises(UserError, match=r"allow.yaml:2: unknown key 'raeson'") as caught:
        suites.find(folder, "upstream-deep-good", lambda: tree, X86_64)
    assert "did you mean 'reason'?" in caught.value.hint
    for line, key in (
        ("timeouts: {a: 1e300}", "timeouts.a"),
        ("memory-mib: 9999999", "memory-mib"),
    ):
        (carried / "suite.yaml").write_text(f"upstream: deep/good\n{line}\n")
        with pytest.raises(UserError, match=rf"suite\.yaml:2: {key}: "):
            suites.find(folder, "upstream-deep-good", lambda: tree, X86_64)


class Shop(Silent):
    """Builds the suite for a kernel with one header, and hears what is said of it."""

    def __init__(self, tmp_path: Path, folder: Path) -> None:
        self.folder, self.log = folder, tmp_path / "log"
        self.heard: list[str] = []
        (tmp_path / "headers/include").mkdir(parents=True)
        (tmp_path / "headers/include/uapi.h").write_text("#define ANSWER 0\n")
        self.kernel = KernelBuild(
            tmp_path, "k", "6.12.1", tmp_path, "d", None, tmp_path / "headers", tmp_path
        )
        cache = Cache(tmp_path / "cache")
        self.builder = Builder(cache, X86_64, worktree.materialise, 2, self)

    def notice(self, text: str) -> None:
        self.heard.append(text)

    def build(self, tree: PatchedTree, name: str = "upstream:good") -> tuple[BuiltSuite, bool]:
        suite = suites.find(self.folder, name, lambda: tree, X86_64)
        suite = dataclasses.replace(suite, timeouts={"b*": 9})
        return suites.build(self.builder, suite, tree, self.kernel, log=self.log, deadline=soon())


def patched(tree: PatchedTree, name: str, text: str) -> PatchedTree:
    files = {**tree.files, name: PatchedFile(text.encode())}
    return dataclasses.replace(tree, files=files, key=str(sorted(files)))


def test_a_suite_of_ours_may_do_without_what_others_share(
    tmp_path: Path, tree: PatchedTree
) -> None:
    suite_folder = tmp_path / "root/mine"
    suite_folder.mkdir(parents=True)
    (suite_folder / "Makefile").write_text("TEST_GEN_PROGS := good\ninclude $(KSFT)/lib.mk\n")
    (suite_folder / "good.c").write_text(GOOD)
    shop = Shop(tmp_path, suite_folder.parent)
    built, _ = shop.build(tree, "mine")
    assert [each.name for each in built.programs] == ["good"]


@pytest.mark.parametrize("edited", ["mine/Makefile", "lib/suite.mk"])
def test_what_was_built_before_hides_no_rule_that_is_wrong_now(
    tmp_path: Path, tree: PatchedTree, edited: str
) -> None:
    suite_folder = tmp_path / "root/mine"
    for name in ("mine", "lib"):
        (tmp_path / "root" / name).mkdir(parents=True)
    makefile = "TEST_GEN_PROGS := good\ninclude ../lib/suite.mk\ninclude $(KSFT)/lib.mk\n"
    (suite_folder / "Makefile").write_text(makefile)
    (tmp_path / "root/lib/suite.mk").touch()
    (suite_folder / "good.c").write_text(GOOD)
    shop = Shop(tmp_path, suite_folder.parent)
    shop.build(tree, "mine")
    with (tmp_path / "root" / edited).open("a") as file:
        file.write("override CC := false\n")
    with pytest.raises(BuildError):
        shop.build(tree, "mine")


def test_what_compiles_is_built_and_the_rest_is_told(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    built, found = shop.build(tree)
    assert (built.name, found) == ("upstream-deep-good", False)
    good, broken, script = built.programs
    assert [(each.name, each.timeout) for each in built.programs] == [
        ("good", 7),
        ("broken", 9),
        ("script.sh", 7),
    ]
    assert all(each.by_status for each in built.programs)
    assert good.unbuilt == script.unbuilt == ""
    assert broken.unbuilt.startswith("it does not build\nbroken.c: In function")
    assert "broken.c:1:25: error: " in broken.unbuilt
    assert str(tmp_path) not in broken.unbuilt
    assert not (built.path / "broken").exists()
    assert elf.wants((built.path / "good").read_bytes()) == elf.Wants()  # statically linked
    assert (built.path / "script.sh").stat().st_mode & 0o111
    assert not list(tree.base.path.rglob("beside-the-source"))
    source = next((tmp_path / "cache/work/kernel").glob("*/src"))
    assert not list(source.rglob("beside-the-source"))
    assert shop.build(tree) == (built, True)
    assert shop.heard == ["upstream-deep-good: does not build, but is no test: helper"] * 2
    assert script.lacking["helper"].startswith("it calls helper, which does not build\n")


def test_another_toolchain_builds_programs_of_its_own(
    tmp_path: Path, folder: Path, tree: PatchedTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clang that is gcc, and defines a macro on the way."""
    programs = tmp_path / "llvm"
    programs.mkdir()
    for name in CLANG.programs:
        does = 'exec gcc -DTHIS_IS_CLANG "$@"'
        text = f'#!/bin/sh\n[ "$1" = --version ] && {{ echo {name} 14; exit; }}\n{does}\n'
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    source = "#ifndef THIS_IS_CLANG\n#error gcc\n#endif\n#include <uapi.h>\n" + GOOD
    only_clang = patched(tree, f"{SELFTESTS}/deep/good/good.c", source)
    shop = Shop(tmp_path, folder)
    assert "#error gcc" in shop.build(only_clang)[0].programs[0].unbuilt
    assert not shop.build(tree)[1]
    shop.builder = dataclasses.replace(shop.builder, toolchain=CLANG)
    shop.log.unlink()  # which a run has for one build of a suite alone
    built, found = shop.build(only_clang)
    assert (built.programs[0].unbuilt, found) == ("", False)
    assert not shop.build(tree)[1], "what gcc made is another entry"


def test_only_what_the_build_may_read_builds_it_again(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    shop.build(tree)
    assert shop.build(patched(tree, "virt/kvm/eventfd.c", "int x;\n"))[1]
    for name in ("tools/x.c", f"{SELFTESTS}/lib.mk", "include/uapi/linux/kvm.h", "mm/internal.h"):
        text = LIB_MK if name.endswith(".mk") else "//\n"
        assert not shop.build(patched(tree, name, text + "#\n"))[1], name


def test_nothing_that_compiles_is_a_build_break(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    broken = patched(tree, f"{SELFTESTS}/deep/good/good.c", "int main(void) { return lost; }\n")
    makefile = MAKEFILE.replace("script.sh", "")
    with pytest.raises(BuildError) as caught:
        shop.build(patched(broken, f"{SELFTESTS}/deep/good/Makefile", makefile))
    assert any("good.c:1:25: error" in line for line in caught.value.detail)


def test_what_a_target_includes_lies_where_its_scripts_look(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    including = patched(tree, f"{SELFTESTS}/deep/lib.sh", "echo shared\n")
    script = f"{SELFTESTS}/deep/good/script.sh"
    including = patched(including, script, "#!/bin/sh\n. ../lib.sh\n")
    text = f"TEST_INCLUDES := ../lib.sh\n{MAKEFILE}"
    built, _ = shop.build(patched(including, f"{SELFTESTS}/deep/good/Makefile", text))
    assert {program.folder for program in built.programs} == {"deep/good"}
    place = built.path / "deep/good"
    assert (built.path / "deep/lib.sh").read_text() == "echo shared\n"
    assert sorted(path.name for path in built.path.iterdir()) == [".line_buffered", "deep"]
    ran = subprocess.run(["./script.sh"], cwd=place, capture_output=True, check=True)
    assert ran.stdout == b"shared\n"
    # Without any, its programs lie in the suite's own folder.
    built, _ = shop.build(tree)
    assert {program.folder for program in built.programs} == {""}
    assert (built.path / "good").is_file()


LACKING = "#include <sys/capability-that-is-not-here.h>\nint main(void) { return 0; }\n"


def test_what_this_host_lacks_is_no_fault_of_the_series(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    reason = "could not be built here: needs sys/capability-that-is-not-here.h"
    for name in ("good", "broken", "helper"):
        tree = patched(tree, f"{SELFTESTS}/deep/good/{name}.c", LACKING)
    built, found = shop.build(tree)
    good, broken, script = built.programs
    assert good.unbuilt.split("\n")[0] == broken.unbuilt.split("\n")[0] == reason
    assert (script.unbuilt, found) == ("", False)
    # It may be installed by the next time.
    assert shop.build(tree) == (built, False)
    leaves = [verdicts.unstarted(program, ()) for program in (good, broken)]
    assert verdicts.verdict(filter(None, leaves))[0] is Verdict.INFRASTRUCTURE


def test_programs_that_the_series_changes_are_marked(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    shop = Shop(tmp_path, folder)
    assert not any(program.touched for program in shop.build(tree)[0].programs)
    changed = patched(tree, f"{SELFTESTS}/deep/good/script.sh", "#!/bin/sh\n:\n")
    changed = patched(changed, f"{SELFTESTS}/deep/helper.h", "//\n")
    touched = {program.name: program.touched for program in shop.build(changed)[0].programs}
    assert touched == {"good": False, "broken": False, "script.sh": True}


FORKS = """#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
int main(int argc, char **argv)
{
	printf("1..1\\n");
	if (!fork())
		return 0;
	wait(NULL);
	printf("ok 1 %s\\n", argv[argc - 1]);
	fprintf(stderr, "error\\n");
	return 7;
}
"""


def test_a_program_s_output_is_buffered_by_line(
    tmp_path: Path, folder: Path, tree: PatchedTree
) -> None:
    forking = patched(tree, f"{SELFTESTS}/deep/good/good.c", FORKS)
    built, _ = Shop(tmp_path, folder).build(forking)
    (launcher,) = {program.launcher for program in built.programs}

    def run(*argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, cwd=built.path, capture_output=True, check=False)

    assert run("./good", "a").stdout.count(b"1..1\n") == 2
    launcher = f"./{launcher}"
    ran = run(launcher, "./good", "a b")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"1..1\nok 1 a b\n", b"error\n")
    assert run(launcher, "/bin/sh", "-c", "kill -SEGV $$").returncode == -signal.SIGSEGV
    assert run(launcher, "./absent").returncode == 127
    script = built.path / "script"
    script.write_text("#! /usr/bin/absent -e\n")
    script.chmod(0o755)
    ran = run(launcher, "./script")
    assert (ran.returncode, ran.stderr) == (
        127,
        b"./script: its interpreter /usr/bin/absent is missing\n",
    )
    ran = run(launcher, "/bin/sh", "-c", "head -c 1000000 /dev/zero")
    assert len(ran.stdout) == 1_000_000
    # What a program leaves behind keeps nobody waiting.
    ran = run(launcher, "/bin/sh", "-c", "sleep 20 2>/dev/null & echo $!")
    os.kill(int(ran.stdout), signal.SIGTERM)


def read_manifest(tmp_path: Path, model: type[Manifest], text: str) -> Manifest:
    (tmp_path / "a.yaml").write_text(text)
    return load(tmp_path / "a.yaml", model)


def test_what_a_manifest_may_say(tmp_path: Path) -> None:
    text = "upstream: net/lib\ntimeouts: {'vmx_*': 90, slow: 0.5}\n"
    assert read_manifest(tmp_path, SuiteManifest, text) == SuiteManifest(
        upstream="net/lib", timeouts={"vmx_*": 90, "slow": 0.5}
    )
    text = "allow:\n  - {test: 'vmx_*', reason: no VMX, accel: tcg}\n"
    (entry,) = read_manifest(tmp_path, AllowManifest, text).allow  # type: ignore[attr-defined]
    assert entry == Allowed(test="vmx_*", reason="no VMX", action="xfail", accel="tcg")


@pytest.mark.parametrize(
    ("model", "text", "fault", "hint"),
    [
        (SuiteManifest, "upstrem: kvm\n", "a.yaml:1: unknown key 'upstrem'", "'upstream'"),
        (SuiteManifest, "timeouts: {}\n", "key 'upstream' is missing", ""),
        (SuiteManifest, "upstream: ../kvm\n", "upstream: '../kvm' is no path below", ""),
        (SuiteManifest, "upstream: /kvm\n", "upstream: '/kvm' is no path below", ""),
        (SuiteManifest, "upstream: kvm\ntimeouts: {a: 0}\n", "timeouts.a: ", ""),
        (SuiteManifest, "upstream: kvm\ntimeouts: {a: .inf}\n", "timeouts.a: ", ""),
        (AllowManifest, "allow:\n  - {test: a, reson: b}\n", "a.yaml:2: unknown key 'reson'", "n'"),
        (AllowManifest, "allow:\n  - {test: a}\n", "'reason' is missing in allow[0]", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: ''}\n", "allow[0].reason is empty", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: b, accel: hvf}\n", "allow[0].accel: ", ""),
        (AllowManifest, "allow:\n  - {test: a, reason: b, action: no}\n", "allow[0].action", ""),
    ],
)
def test_what_a_manifest_may_not_say(
    tmp_path: Path, model: type[Manifest], text: str, fault: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_manifest(tmp_path, model, text)
    assert fault in caught.value.what
    assert hint in (caught.value.hint or "")
