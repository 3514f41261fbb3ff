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
def memory(tmp_path: Path) -> DiskResultCache:
    return DiskResultCache(Cache(tmp_path), soon())


def test_what_is_kept_comes_back_in_another_run(tmp_path: Path, memory: DiskResultCache) -> None:
    memory.keep("mark", RAW)
    assert DiskResultCache(Cache(tmp_path), soon()).recall("mark") == RAW
    assert memory.recall("other") is None
    assert DiskResultCache(Cache(tmp_path, cold=True), soon()).recall("mark") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.floats(0, 1e6), st.none() | st.integers(0, 255))
def test_whatever_a_program_says_comes_back(
    memory: DiskResultCache, out: str, err: str, seconds: float, status: int | None
) -> None:
    raw = replace(RAW, stdout=out, stderr=err, seconds=seconds, exit_status=status)
    mark = str(abs(hash((out, err, seconds, status))))
    memory.keep(mark, raw)
    assert memory.recall(mark) == raw


def test_a_damaged_entry_counts_as_none(tmp_path: Path, memory: DiskResultCache) -> None:
    memory.keep("mark", RAW)
    (tmp_path / "result/mark/raw-run.json").write_text('{"suite": 1')
    assert memory.recall("mark") is None
    memory.keep("mark", RAW)
    assert memory.recall("mark") == RAW


@pytest.mark.parametrize("outcome", [*Outcome])
def test_what_says_nothing_of_the_kernel_is_not_kept(
    memory: DiskResultCache, outcome: Outcome
) -> None:
    raw = replace(RAW, outcome=outcome)
    short = ResultCache()
    memory.keep("mark", raw)
    short.keep("mark", raw)
    assert (memory.recall("mark") is None) == (outcome is Outcome.LOST)
    assert (short.recall("mark") is None) == (outcome is not Outcome.COMPLETED)
