from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fake_tree import soon
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import Outcome, RawRun
from toolkit.host.cache import Cache
from toolkit.testing.result_cache import DiskResultCache, ResultCache

SPLAT = Splat("oops", "Oops", "Oops: …", fatal=True, line=3, during="kvm/a")
RAW = RawRun("kvm", "a", Outcome.COMPLETED, 0, None, "ok 1 x\n", "", 0.5, splats=(SPLAT,))


@pytest.fixture
def disk(tmp_path: Path) -> DiskResultCache:
    return DiskResultCache(Cache(tmp_path), soon())


def test_what_is_kept_comes_back_in_another_run(tmp_path: Path, disk: DiskResultCache) -> None:
    disk.keep("it", RAW)
    assert DiskResultCache(Cache(tmp_path), soon()).recall("it") == RAW
    assert disk.recall("other") is None
    assert DiskResultCache(Cache(tmp_path, cold=True), soon()).recall("it") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.floats(0, 1e6), st.none() | st.integers(0, 255))
def test_whatever_a_program_says_comes_back(
    disk: DiskResultCache, out: str, err: str, seconds: float, status: int | None
) -> None:
    raw = replace(RAW, stdout=out, stderr=err, seconds=seconds, exit_status=status)
    fingerprint = str(abs(hash((out, err, seconds, status))))
    disk.keep(fingerprint, raw)
    assert disk.recall(fingerprint) == raw


def test_a_damaged_entry_counts_as_none(tmp_path: Path, disk: DiskResultCache) -> None:
    disk.keep("it", RAW)
    (tmp_path / "result/it/raw-run.json").write_text('{"suite": 1')
    assert disk.recall("it") is None
    disk.keep("it", RAW)
    assert disk.recall("it") == RAW


@pytest.mark.parametrize("outcome", [*Outcome])
def test_what_says_nothing_of_the_kernel_is_not_kept(
    disk: DiskResultCache, outcome: Outcome
) -> None:
    raw = replace(RAW, outcome=outcome)
    short = ResultCache()
    disk.keep("it", raw)
    short.keep("it", raw)
    assert (disk.recall("it") is None) == (outcome is Outcome.LOST)
    assert (short.recall("it") is None) == (outcome is not Outcome.COMPLETED)


@pytest.mark.parametrize("splats", [(), (SPLAT,)])
def test_a_boot_is_kept_even_if_nothing_was_wrong(
    tmp_path: Path, disk: DiskResultCache, splats: tuple[Splat, ...]
) -> None:
    short = ResultCache()
    for cache in (disk, short):
        assert cache.recall_boot("machine") is None
        cache.keep_boot("machine", splats)
        assert cache.recall_boot("machine") == splats
        assert cache.recall_boot("another") is None
    assert DiskResultCache(Cache(tmp_path), soon()).recall_boot("machine") == splats
    assert DiskResultCache(Cache(tmp_path, cold=True), soon()).recall_boot("machine") is None


def test_what_a_later_boot_shows_takes_the_place_of_what_is_there(disk: DiskResultCache) -> None:
    disk.keep_boot("machine", ())
    disk.keep_boot("machine", (SPLAT,))
    assert disk.recall_boot("machine") == (SPLAT,)


def test_a_damaged_boot_counts_as_none(tmp_path: Path, disk: DiskResultCache) -> None:
    disk.keep_boot("machine", (SPLAT,))
    (tmp_path / "boot/machine/splats.json").write_text("[{")
    assert disk.recall_boot("machine") is None
    disk.keep_boot("machine", ())
    assert disk.recall_boot("machine") == ()
