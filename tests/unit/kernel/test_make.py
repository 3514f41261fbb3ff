from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.errors import BuildError, InfrastructureError, ToolFailedError
from toolkit.core.observer import Silent
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache
from toolkit.kernel import make
from toolkit.kernel.toolchain import CLANG, GCC


def test_what_is_made_and_what_make_says(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("it:\n\t@echo '  CC      $(ARCH)/$(WHO).o' | tee $(O)/it\n")
    heard: list[str] = []
    job = make.Make(tmp_path, tmp_path, "x86_64", 2, soon(), tmp_path / "log", {"WHO": "me"})
    job.run("it", on_line=heard.append)
    assert (tmp_path / "it").read_text() == "  CC      x86_64/me.o\n"
    assert "  CC      x86_64/me.o" in heard
    said = (tmp_path / "log").read_text()
    assert said.startswith(f"$ make -j2 -C {tmp_path} O={tmp_path} ARCH=x86_64 it\n")
    assert "x86_64/me.o" in said
    with pytest.raises(BuildError, match="does not build") as caught:
        job.run("that")
    assert any("No rule to make target 'that'" in line for line in caught.value.detail)


def test_make_is_told_which_toolchain_compiles(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("it:\n\t@echo $(LLVM) $(ARCH) > $(O)/it\n")
    make.Make(tmp_path, tmp_path, "x86_64", 2, soon(), toolchain=CLANG).run("it")
    assert (tmp_path / "it").read_text() == "1 x86_64\n"


def test_settings_of_the_callers_shell_do_not_reach_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them stands in the key of what is built."""
    names = ["LLVM", "KCFLAGS", "KAFLAGS", "LOCALVERSION", "KCONFIG_CONFIG", "CFLAGS", "LDFLAGS"]
    names += ["INSTALL_MOD_STRIP", "CROSS_COMPILE", "W", "C", "V", "KBUILD_MODPOST_WARN", "HOSTCC"]
    names += ["MAKEFLAGS", "MAKEFILES", "C_INCLUDE_PATH", "GCC_EXEC_PREFIX", "http_proxy"]
    for name in names:
        monkeypatch.setenv(name, "/stray")
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "Makefile").write_text("it:\n\t@env > $(O)/it\n")
    make.Make(tmp_path, tmp_path, "x86_64", 2, soon()).run("it")
    variables = dict(line.partition("=")[::2] for line in (tmp_path / "it").read_text().split("\n"))
    assert not [name for name, value in variables.items() if value == "/stray"]
    assert variables["HOME"] in ("/home/me", "/tmp")  # none at all in a sandbox
    assert variables["ARCH"] == "x86_64"
    assert variables["KBUILD_BUILD_USER"] == "toolkit"


@pytest.mark.parametrize(
    "recipe",
    [
        "no-such-tool x",  # which make runs itself
        "no-such-tool x && true",
        "bash -c 'no-such-tool x'",
        "exec no-such-tool",
        "env no-such-tool",
        "./script",
        "bash ./script",
    ],
)
def test_the_tools_of_this_host_word_what_is_missing_so_that_it_is_understood(
    tmp_path: Path, recipe: str
) -> None:
    (tmp_path / "Makefile").write_text(f"it:\n\t@{recipe}\n")
    (tmp_path / "script").write_text("#!/bin/sh\nset -e\nno-such-tool x\n")
    (tmp_path / "script").chmod(0o755)
    with pytest.raises(InfrastructureError, match="the build needs no-such-tool, which is not"):
        make.Make(tmp_path, tmp_path, "x86_64", 2, soon(), tmp_path / "log").run("it")


def test_a_make_that_was_killed_is_no_fault_of_the_series(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("it:\n\t@kill -9 $$PPID\n")
    with pytest.raises(ToolFailedError, match="make was killed by signal 9"):
        make.Make(tmp_path, tmp_path, "x86_64", 2, soon()).run("it")


class Counting(Silent):
    """Keeps how far a stage said that it was."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int | None, str]] = []

    def stage_progress(self, name: str, done: int, total: int | None, detail: str = "") -> None:
        assert name == "build"
        self.heard.append((done, total, detail))


def test_the_second_build_knows_how_many_steps_there_are(tmp_path: Path) -> None:
    lines = ["make[1]: Entering directory", "  CC      a.o", "  LD [M]  b.ko"]
    for total in (None, 2):
        told = Counting()
        progress = make.Progress(told, tmp_path / "steps")
        for line in lines:
            progress(line)
        progress.remember()
        assert told.heard == [(1, total, "CC a.o"), (2, total, "LD b.ko")]


# --- ccache -----------------------------------------------------------------------------


FAKE = """#!/bin/sh
echo "ccache as ${0##*/} in $CCACHE_DIR: $*"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called ccache, which says how it is called, on the PATH."""
    program = tmp_path / "programs/ccache"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    for name in [name for name in os.environ if name.startswith("CCACHE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def run(environment: dict[str, str], *words: str | Path, folder: Path | None = None) -> str:
    env = process.environment(environment)
    return subprocess.run(words, env=env, check=True, stdout=-1, text=True, cwd=folder).stdout


def test_stands_before_the_compiler_under_its_name(installed: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for _ in range(2):  # a second run finds the links of the first
        environment = make.ccache_environment(cache)
        said = run(environment, "/bin/sh", "-c", "gcc -c file.c")
    assert said.startswith("ccache as gcc in ") and said.endswith(": -c file.c\n")
    assert environment["PATH"].split(":")[1] == str(installed.parent), "and the caller's is next"


def test_is_listed_and_pruned_with_the_cache(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    cache = Cache(tmp_path / "cache")
    store = Path(make.ccache_environment(cache)["CCACHE_DIR"])
    store.mkdir()
    (store / "object").write_bytes(b"x" * 10_000)
    (entry,) = cache.entries()
    assert (entry.kind, entry.key) == ("work/ccache", "gcc")
    assert entry.size > 10_000
    assert cache.prune(0) == [entry]
    assert not store.exists()
    assert make.ccache_environment(cache)["CCACHE_DIR"] == str(store), "the next run makes it again"


def test_the_store_is_the_cache_s_own_whatever_the_caller_has_set(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed.exists()
    for name in ("CCACHE_DIR", "CCACHE_MAXSIZE", "CCACHE_DEPEND", "CCACHE_SLOPPINESS"):
        monkeypatch.setenv(name, "/of/the/caller")
    assert "/of/the/caller" not in make.ccache_environment(Cache(tmp_path)).values()


def test_each_toolchain_has_a_store_of_its_own(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    made = [make.ccache_environment(Cache(tmp_path), each) for each in (GCC, CLANG)]
    said = [run(each, "/bin/sh", "-c", "exec clang -c x.c") for each in made[1:]]
    assert said[0].startswith("ccache as clang in ")
    assert made[0]["CCACHE_DIR"] != made[1]["CCACHE_DIR"]
    entries = Cache(tmp_path).entries()
    assert sorted(entry.key for entry in entries) == ["clang", "gcc"]


def test_the_caller_may_switch_it_off(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed.exists()
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    assert make.ccache_environment(Cache(tmp_path)) == {}


def test_reuses_nothing_when_cold(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    assert make.ccache_environment(Cache(tmp_path / "cache", cold=True)) == {}
    assert not (tmp_path / "cache").exists()


def test_builds_without_it(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.unlink()
    monkeypatch.setenv("PATH", str(installed.parent))
    assert make.ccache_environment(Cache(tmp_path / "cache")) == {}


def test_builds_with_a_cache_that_cannot_be_written(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    (tmp_path / "work").write_text("a file where a folder should be")
    assert make.ccache_environment(Cache(tmp_path)) == {}


@pytest.mark.skipif(not shutil.which("ccache"), reason="needs ccache")
def test_the_real_one_compiles_nothing_twice(tmp_path: Path) -> None:
    environment = make.ccache_environment(Cache(tmp_path / "cache"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "code.c").write_text('#include "code.h"\nint answer = ANSWER;\n')
    (source / "code.h").write_text("#define ANSWER 42\n")
    for name in ("code.c", "code.h"):
        os.utime(source / name, (1, 1))  # ccache does not trust what was written just now
    objects = []
    for _ in range(2):
        # as kbuild calls it: what was read goes into a file beside the object
        run(environment, "gcc", "-Wp,-MMD,.code.o.d", "-c", "-o", "code.o", "code.c", folder=source)
        assert "code.h" in (source / ".code.o.d").read_text()
        objects.append((source / "code.o").read_bytes())
        (source / "code.o").unlink()
        (source / ".code.o.d").unlink()
    counted = dict(
        line.split("\t") for line in run(environment, "ccache", "--print-stats").splitlines()
    )
    assert (counted["cache_miss"], counted["direct_cache_hit"]) == ("1", "1")
    assert objects[0] == objects[1]


# A series' Makefile: it compiles two files, and the first time puts what it made of one of them
# in the place of what the store has of the other.
POISON = """
victim:
\tgcc -Wp,-MMD,$(O)/.victim.d -c -o $(O)/victim.o $(O)/victim.c
evil:
\tgcc -Wp,-MMD,$(O)/.evil.d -c -o $(O)/evil.o $(O)/evil.c
\tlist=$$(find $(STORE) -name '*R'); own=$$(find $(STORE) -name '*R' -newer $(O)/mark); \\
\tfor file in $$list; do [ $$file = $$own ] || cat $$own > $$file; done || true
"""


class Compiled:
    """Builds in a folder: a trusted one of ``victim.c``, and one with rules of a series."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder / "cache")
        self.source, self.output = folder / "src", folder / "out"
        for place in (self.source, self.output):
            place.mkdir()
        (self.source / "Makefile").write_text(POISON)
        for name, answer in (("victim", 42), ("evil", 666)):
            (self.output / f"{name}.c").write_text(f"int answer = {answer};\n")
            os.utime(self.output / f"{name}.c", (1, 1))  # ccache does not trust what is new

    def build(self, target: str, rules: str = "") -> bytes:
        """Build a target from nothing, and return its object."""
        env = make.ccache_environment(self.cache, rules=rules)
        job = make.Make(self.source, self.output, "x86_64", 1, soon(), env=env)
        (self.output / f"{target}.o").unlink(missing_ok=True)
        (self.output / "mark").write_text("")
        os.utime(self.output / "mark", (time.time() - 0.5, time.time() - 0.5))
        job.run(target, f"STORE={env['CCACHE_DIR']}")
        return (self.output / f"{target}.o").read_bytes()

    def misses(self, rules: str) -> str:
        env = make.ccache_environment(self.cache, rules=rules)
        store = env["CCACHE_OF_SERIES"] if rules else env["CCACHE_DIR"]
        words = ["ccache", "-d", store, "--print-stats"]
        lines = subprocess.run(words, check=True, stdout=-1, text=True).stdout.splitlines()
        return dict(line.split("\t") for line in lines)["cache_miss"]


needs_ccache = pytest.mark.skipif(not shutil.which("ccache"), reason="needs ccache")


@needs_ccache
@pytest.mark.skipif(sandbox.probe().options is None, reason="needs a sandbox")
@pytest.mark.parametrize("rules", ["", "rules-of-the-series"])
def test_a_series_cannot_put_its_objects_in_the_place_of_others(rules: str, tmp_path: Path) -> None:
    compiled = Compiled(tmp_path)
    good = compiled.build("victim")
    time.sleep(1)
    evil = compiled.build("evil", rules)
    assert evil != good
    # Without a store of its own the attack works: what may write to the store can forge it.
    assert compiled.build("victim") == (good if rules else evil)


@needs_ccache
def test_a_series_with_a_store_of_its_own_compiles_nothing_that_the_base_has(
    tmp_path: Path,
) -> None:
    compiled = Compiled(tmp_path)
    compiled.build("victim")
    for rules in ("one", "one", "two"):
        compiled.build("victim", rules)
        compiled.build("evil", rules)
    assert [compiled.misses(rules) for rules in ("", "one", "two")] == ["1", "1", "1"]


def test_few_stores_of_series_are_kept(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    cache = Cache(tmp_path / "cache")
    stores = [
        Path(make.ccache_environment(cache, rules=f"rules{number}")["CCACHE_OF_SERIES"])
        for number in range(12)
    ]
    assert [store.exists() for store in stores] == [False] * 4 + [True] * 8
    (entry,) = cache.entries()
    assert cache.prune(0) == [entry]
    assert not stores[-1].exists()
