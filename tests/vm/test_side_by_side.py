"""Runs at once on one base: each builds what it would build alone, and nobody waits for a suite."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import platformdirs

from tests.vm.conftest import PROJECT, Started, Toolkit
from tests.vm.test_replay import built, edited
from toolkit.core.deadline import Deadline
from toolkit.core.paths import APP
from toolkit.host.cache import Cache


def entry_of(run: Started) -> Path:
    ended = run.finish()
    assert ended.code == 0, ended
    return Path(ended.out.splitlines()[0])


def test_two_edits_at_once_give_what_each_gives_alone(toolkit: Toolkit, tmp_path: Path) -> None:
    one, other = edited(tmp_path, "__GFP_RETRY_MAYFAIL"), edited(tmp_path, "__GFP_NORETRY")
    alone = {}
    for series in (one, other):
        entry, modules, _ = built(toolkit, series)
        shutil.rmtree(entry)
        del modules["Module.symvers"]  # of the work folder, which may be another one next time
        alone[series] = modules
    runs = [toolkit.start("build", "--patch", str(series)) for series in (one, other)]
    for run in runs:
        entry_of(run)
    for series in (one, other):
        _, modules, _ = built(toolkit, series)  # in the cache now
        del modules["Module.symvers"]
        assert modules == alone[series]
    assert alone[one] != alone[other]


def test_a_suite_for_a_kernel_in_the_cache_does_not_wait_for_a_build(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    toolkit.run("build", "--patch", "v4")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("patches", "vm-images"):
        (root / name).symlink_to(PROJECT / name)
    shutil.copytree(PROJECT / "kselftests", root / "kselftests")
    with (root / "kselftests/kvm/iosignalfd_args_test.c").open("a") as source:
        source.write(f"/* {time.time()} */\n")
    cache = Cache(platformdirs.user_cache_path(APP))
    folders = sorted(
        (cache.root / "work/kernel").glob("*/src"), key=lambda src: src.stat().st_mtime
    )
    base = folders[-1].parent.name.partition(".")[0]
    with cache.work("kernel", base, deadline=Deadline.after(60)):
        ended = toolkit.run("build", "--patch", "v4", root=root)
    assert ended.code == 0, ended
    assert "build: found in the cache" in ended.err
    assert "selftests: done" in ended.err
    assert "waiting" not in ended.err
