from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.cli.conftest import Call
from toolkit.cli.main import cli
from toolkit.core import paths
from toolkit.host import locks


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "state/kernel-toolkit/runs"
    for day in range(1, 6):
        (folder / f"2026010{day}T120000Z-v4-abcd").mkdir(parents=True)
    for path in folder.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    assert paths.resolve().runs == folder
    return folder


def test_the_run_folders_are_listed_and_pruned(runs: Path) -> None:
    invoke = CliRunner().invoke
    listed = invoke(cli, ["runs", "list"])
    assert listed.exit_code == 0
    assert listed.output.splitlines()[0].endswith("20260101T120000Z-v4-abcd")
    assert listed.output.splitlines()[-1].endswith("in 5 folders")
    kept = invoke(cli, ["runs", "prune"])
    assert kept.output == "0 B freed\n"
    assert invoke(cli, ["runs", "prune", "--keep", "0", "--newer-than", "2h"]).output == kept.output
    oldest = runs / "20260101T120000Z-v4-abcd"
    with locks.in_use(oldest):
        pruned = invoke(cli, ["runs", "prune", "--keep", "2"])
    assert pruned.exit_code == 0
    assert pruned.output.count("removed ") == 2
    assert sorted(path.name[6:8] for path in runs.iterdir()) == ["01", "04", "05"]


def test_a_time_span_that_is_none_is_refused(runs: Path) -> None:
    result = CliRunner().invoke(cli, ["runs", "prune", "--newer-than", "soon"])
    assert "is no time span" in str(result.exception)
    assert len(list(runs.iterdir())) == 5


def test_keys_of_a_shared_cache(command_line: Call) -> None:
    code, line = command_line("cache", "keygen")
    assert code == 0
    key = line.strip()
    assert key.startswith("ed25519 ")
    assert command_line("cache", "keygen")[0] == 2
    assert command_line("cache", "trust", *key.split(" ")) == (0, "trusted from now on\n")
    assert command_line("cache", "trust", key) == (0, "trusted already\n")
    assert command_line("cache", "trust") == (0, f"{key}\n")
    code, words = command_line("cache", "trust", "ssh-ed25519 AAAA")
    assert (code, "this is no public key: 'ssh-ed25519 AAAA'" in words) == (2, True)
    assert command_line("cache", "distrust", key)[0] == 0
    assert command_line("cache", "distrust", key)[0] == 2
    assert command_line("cache", "trust") == (0, "")
