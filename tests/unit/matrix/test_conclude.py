from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import a_result
from tests.unit.matrix.fake_pool import cell, outcome, planned
from tests.unit.matrix.results import leaf, packed, result
from toolkit.core.model.matrix import Cell, CellResult
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import Status
from toolkit.matrix import conclude, jobs
from toolkit.matrix import outcome as outcomes
from toolkit.matrix.outcome import Ended
from toolkit.report import artifacts

FAIL = leaf("kvm/b_test/case", Status.FAIL, "3 != 4")


def concluded(
    tmp_path: Path, *results: RunResult | int, its: Cell | None = None
) -> tuple[CellResult, RunResult | None]:
    """Conclude a cell with a shard for each result, or exit code of one without a result."""
    (its_planned,) = planned(its or cell())
    parts = []
    for number, each in enumerate(results, 1):
        job = jobs.test("0" * 16, its_planned, (number, len(results)), [f"p{number}"], 0)
        code = each if isinstance(each, int) else each.exit_code
        said = "" if code == 0 else f"why {code}"
        if isinstance(each, RunResult):
            outcomes.unpack(packed(each, f"p{number}"), tmp_path / job.folder)
        parts.append((job.folder, Ended(outcome(job, code, message=said), number)))
    return conclude.conclude(its_planned, parts, tmp_path)


def test_one_shard_is_the_cell(tmp_path: Path) -> None:
    found, whole = concluded(tmp_path, result(leaf("kvm/a_test/case"), leaf("kvm/b", Status.SKIP)))
    assert (found.verdict, found.exit_code, found.release) == (Verdict.PASS, 0, "6.12.1")
    assert found.counts == {Status.PASS: 1, Status.SKIP: 1}
    assert found.folder == f"cells/{found.name}"
    assert found.parts[0].folder == found.folder
    assert whole is not None
    words = ("toolkit", "build-and-test", "--patch", "v4", "--kernel", "k", "--suite", "kvm")
    assert whole.command == found.command == words
    assert artifacts.read_result(tmp_path / found.folder) == whole
    assert (tmp_path / found.folder / "report.html").is_file()


def test_shards_are_joined_and_their_logs_lie_where_the_report_links_them(tmp_path: Path) -> None:
    boot = leaf("boot/dmesg", Status.FAIL, "WARNING")
    found, whole = concluded(
        tmp_path, result(leaf("kvm/a_test/case")), result(FAIL, boot), result(boot)
    )
    assert whole is not None
    assert [each.id for each in whole.leaves] == [
        "kvm/a_test/case",
        "kvm/b_test/case",
        "boot/dmesg",
    ]
    assert (found.verdict, found.exit_code) == (Verdict.FAIL, 1)
    assert found.bad == ("kvm/b_test/case", "boot/dmesg")
    assert [each.folder for each in found.parts] == [f"{found.folder}/shard-{n}" for n in (1, 2, 3)]
    assert [each.attempts for each in found.parts] == [1, 2, 3]
    logs = sorted(path.name for path in (tmp_path / found.folder / "tests/kvm").iterdir())
    assert logs == ["p1.log", "p2.log", "p3.log"]
    assert whole.seconds == found.seconds * 2 == 6.0


def test_what_a_cell_expects_to_fail_fails_it_not(tmp_path: Path) -> None:
    known = KnownFailure("kvm/b_test/*", "nobody mended it")
    found, whole = concluded(tmp_path, result(FAIL), its=cell(known_failures=(known,)))
    assert whole is not None
    assert (found.verdict, found.exit_code, found.bad) == (Verdict.PASS, 0, ())
    assert found.counts == {Status.XFAIL: 1}
    assert whole.leaves[0].known == "nobody mended it"


def test_what_was_expected_to_fail_and_passes_fails_it(tmp_path: Path) -> None:
    known = KnownFailure("kvm/a_test/*", "it was mended")
    found, _ = concluded(tmp_path, result(leaf("kvm/a_test/x")), its=cell(known_failures=(known,)))
    assert (found.verdict, found.bad) == (Verdict.FAIL, ("kvm/a_test/x",))


def test_a_shard_that_skips_all_is_no_pass_by_itself_alone(tmp_path: Path) -> None:
    skips = replace(
        result(leaf("kvm/c", Status.SKIP)),
        verdict=Verdict.NO_TESTS,
        exit_code=1,
        message="1 skipped",
    )
    found, _ = concluded(tmp_path / "1", skips)
    assert (found.verdict, found.exit_code) == (Verdict.NO_TESTS, 1)
    found, _ = concluded(tmp_path / "2", skips, result(leaf("kvm/a")))
    assert (found.verdict, found.exit_code) == (Verdict.PASS, 0)


@pytest.mark.parametrize(
    ("code", "verdict"), [(2, Verdict.USER_ERROR), (3, Verdict.INFRASTRUCTURE), (1, Verdict.FAIL)]
)
def test_without_a_result_the_exit_code_tells(tmp_path: Path, code: int, verdict: Verdict) -> None:
    found, whole = concluded(tmp_path, code)
    assert (found.verdict, found.exit_code, found.message) == (verdict, code, f"why {code}")
    assert (found.folder, found.counts, whole) == ("", {}, None)


def test_a_shard_that_was_lost_makes_the_cell_no_pass(tmp_path: Path) -> None:
    found, whole = concluded(tmp_path, result(leaf("kvm/a_test/case")), 3)
    assert (found.verdict, found.exit_code, found.message) == (Verdict.INFRASTRUCTURE, 3, "why 3")
    assert found.counts == {Status.PASS: 1}
    assert whole is not None


def test_a_failure_counts_more_than_a_shard_that_was_lost(tmp_path: Path) -> None:
    found, _ = concluded(tmp_path, result(FAIL), 3)
    assert (found.verdict, found.exit_code) == (Verdict.FAIL, 1)


def test_a_kernel_that_does_not_boot_in_one_shard_is_the_verdict(tmp_path: Path) -> None:
    noboot = replace(
        a_result.PASSED, verdict=Verdict.BOOT_FAILURE, exit_code=1, message="panic", leaves=()
    )
    found, _ = concluded(tmp_path, result(leaf("kvm/a")), noboot)
    assert (found.verdict, found.exit_code, found.message) == (Verdict.BOOT_FAILURE, 1, "panic")


def test_a_build_s_reports_stay_as_they_are(tmp_path: Path) -> None:
    """Several cells have them."""
    (its,) = planned(cell())
    broken = a_result.broken()
    outcomes.unpack(packed(broken), tmp_path / "builds/g")
    job = jobs.build("0" * 16, jobs.Group("g", (its,)))
    found, whole = conclude.conclude(its, [(job.folder, Ended(outcome(job, 1), 1))], tmp_path)
    assert (found.verdict, found.folder) == (Verdict.BUILD_BREAK, "builds/g")
    assert found.message == broken.message
    assert whole is not None
    stored = json.loads((tmp_path / "builds/g/result.json").read_bytes())
    assert stored["command"] == list(broken.command)


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 2], 2), ([2, 1, 3], 1), ([1, 130], 130)],
)
def test_the_worst_of_several(codes: list[int], worst: int) -> None:
    assert conclude.worst(codes) == worst
