"""Users, folders and environments that are out of the ordinary: told at once what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree
from toolkit.cli import open_run
from toolkit.core import paths
from toolkit.core.errors import UserError

PROJECT = Path(__file__).parents[3]


def call(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the toolkit with nothing in its environment but a PATH and ``env``."""
    own = {"PATH": os.defpath, "PYTHONPATH": str(PROJECT), **env}
    argv = [sys.executable, "-m", "toolkit", *words]
    return subprocess.run(
        argv, cwd=folder, env=own, capture_output=True, text=True, timeout=120, check=False
    )


def build(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    tree = make_tree(folder / "linux")
    words = ("build-and-test", "--patch", "v4", "--test", "*args*", "--kernel", f"tree:{tree}")
    return call(folder, *words, **env)


@pytest.mark.parametrize("name", ["a cache", "a:cache"])
def test_a_cache_that_make_cannot_work_in_is_refused_before_anything_is_fetched(
    tmp_path: Path, name: str
) -> None:
    cache, state = tmp_path / name, tmp_path / "state"
    done = build(tmp_path, XDG_CACHE_HOME=str(cache), XDG_STATE_HOME=str(state))
    assert done.returncode == 2
    assert "a kernel cannot be built in the cache" in done.stderr
    assert "set XDG_CACHE_HOME to a folder with a plain name" in done.stderr
    assert not cache.exists()


@pytest.mark.parametrize("below", ["/proc/none", "FILE", "FILE/x"])
def test_a_run_folder_that_cannot_be_is_the_callers_fault(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    wanted = Path(below.replace("FILE", str(tmp_path / "file")))
    with pytest.raises(UserError, match="cannot make the run folder") as caught:
        open_run.folder(None, "x", wanted)
    assert "--run-dir" in caught.value.hint


def test_a_temporary_folder_that_is_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    env = {"XDG_CACHE_HOME": f"{tmp_path}/cache", "XDG_STATE_HOME": f"{tmp_path}/state"}
    done = build(tmp_path, TMPDIR=str(deep), **env)
    assert done.returncode == 2
    assert "set TMPDIR to a folder with a shorter path" in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("words", [("--suite", "./none"), ("--program", "none")])
def test_what_is_to_be_tested_is_looked_for_before_a_kernel_is(
    tmp_path: Path, words: tuple[str, str]
) -> None:
    env = {"XDG_CACHE_HOME": f"{tmp_path}/cache", "XDG_STATE_HOME": f"{tmp_path}/state"}
    done = call(tmp_path, "build-and-test", "--kernel", "git:/nowhere", *words, **env)
    assert done.returncode == 2
    assert f"{words[0]} {words[1]}: " in done.stderr
    assert not (tmp_path / "state").exists()


def test_no_home_folder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert paths.home() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_user_whom_nobody_knows_is_told_what_to_set() -> None:
    # Interpreter and checkout may lie where only root may go: it changes its user itself, and takes
    # another folder for the checkout.
    script = (
        "import os, pathlib, platformdirs; from toolkit.core import paths; paths._PARTS = ();"
        "os.setuid(54321); print(paths.home(), flush=True); paths.resolve(pathlib.Path('/'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "None\n"
    assert "user 54321 is unknown to the password database" in done.stderr
