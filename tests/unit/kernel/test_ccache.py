from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.host import process
from toolkit.host.cache import Cache
from toolkit.kernel import ccache

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
        environment = ccache.environment(cache)
        said = run(environment, "/bin/sh", "-c", "gcc -c file.c")
    assert said.startswith("ccache as gcc in ") and said.endswith(": -c file.c\n")
    assert environment["PATH"].split(":")[1] == str(installed.parent), "and the caller's is next"


def test_is_listed_and_pruned_with_the_cache(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    cache = Cache(tmp_path / "cache")
    store = Path(ccache.environment(cache)["CCACHE_DIR"])
    store.mkdir()
    (store / "object").write_bytes(b"x" * 10_000)
    (entry,) = cache.entries()
    assert (entry.kind, entry.key) == ("work/ccache", "gcc")
    assert entry.size > 10_000
    assert cache.prune(0) == [entry]
    assert not store.exists()
    assert ccache.environment(cache)["CCACHE_DIR"] == str(store), "the next run makes it again"


def test_what_the_caller_has_set_stays(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed.exists()
    monkeypatch.setenv("CCACHE_DIR", "/of/the/caller")
    assert ccache.environment(Cache(tmp_path))["CCACHE_DIR"] == "/of/the/caller"


def test_reuses_nothing_when_cold(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    assert ccache.environment(Cache(tmp_path / "cache", cold=True)) == {}
    assert not (tmp_path / "cache").exists()


def test_builds_without_it(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.unlink()
    monkeypatch.setenv("PATH", str(installed.parent))
    assert ccache.environment(Cache(tmp_path / "cache")) == {}


def test_builds_with_a_cache_that_cannot_be_written(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    (tmp_path / "work").write_text("a file where a folder should be")
    assert ccache.environment(Cache(tmp_path)) == {}


@pytest.mark.skipif(not shutil.which("ccache"), reason="needs ccache")
def test_the_real_one_compiles_nothing_twice(tmp_path: Path) -> None:
    environment = ccache.environment(Cache(tmp_path / "cache"))
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
