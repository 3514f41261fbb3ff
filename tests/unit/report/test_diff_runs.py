from __future__ import annotations

import dataclasses

from tests import a_result
from toolkit.core.model.result import StageRecord
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import diff_runs

BEFORE = a_result.passed()
AFTER = a_result.failed()


def test_each_change_has_its_kind() -> None:
    before = a_result.passed(
        leaves=(
            Leaf("s/p/broke", Status.PASS),
            Leaf("s/p/mended", Status.FAIL),
            Leaf("s/p/gone", Status.PASS),
            Leaf("s/p/other", Status.SKIP),
            Leaf("s/p/same", Status.PASS),
        )
    )
    after = a_result.passed(
        leaves=(
            Leaf("s/p/same", Status.PASS),
            Leaf("s/p/broke", Status.CRASH),
            Leaf("s/p/mended", Status.PASS),
            Leaf("s/p/other", Status.PASS),
            Leaf("s/p/new", Status.PASS),
            Leaf("s/p/worse", Status.FAIL),
        )
    )
    kinds = {
        change.id.rpartition("/")[2]: change.kind for change in diff_runs.changes(before, after)
    }
    assert kinds == {
        "broke": "broke",
        "mended": "mended",
        "other": "other",
        "new": "new",
        "worse": "new and bad",
        "gone": "gone",
    }


def test_what_broke_comes_first_with_its_message() -> None:
    lines = list(diff_runs.lines(BEFORE, AFTER))
    assert lines[0].startswith("- PASS: iosignalfd/v4 on Linux 6.12.117")
    assert lines[1].startswith("+ FAIL: ")
    assert lines[3] == "2 went from good to bad:"
    assert lines[4] == "  pass -> fail  kvm/iosignalfd_args_test/case_03"
    assert lines[5].strip().startswith("iosignalfd_args_test.c:41")
    assert "1 are new, and bad:" in lines


def test_runs_alike_say_so() -> None:
    lines = list(diff_runs.lines(BEFORE, BEFORE))
    assert "every case has the same result (60 cases)" in lines
    assert not any("made differently" in line for line in lines)


def test_times_and_environment_are_told_where_they_differ() -> None:
    stages = (StageRecord("build", 2.7, True), StageRecord("boot", 4.7))
    environment = dataclasses.replace(a_result.ENVIRONMENT, compiler="clang 19")
    lines = list(diff_runs.lines(BEFORE, a_result.passed(stages=stages, environment=environment)))
    assert "  build: 5 min 47 s -> 2.70 s (found in the cache)" in lines
    assert not any(line.startswith("  boot:") for line in lines)
    assert f"  compiler: {a_result.ENVIRONMENT.compiler} -> clang 19" in lines


def test_a_stranger_s_words_stay_on_their_line() -> None:
    for line in diff_runs.lines(BEFORE, a_result.hostile()):
        assert line.isprintable()
