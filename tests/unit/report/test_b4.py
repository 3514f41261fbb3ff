from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import a_result
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.model.result import RunResult, Verdict
from toolkit.report import b4
from toolkit.series import reader

THREAD = Path(__file__).parents[2] / "data/mbox/thread.mbox"


def mail(subject: str) -> bytes:
    parts = THREAD.read_bytes().split(b"From 0000000000000000000000000000000000000000 ")
    message = next(part for part in parts if f"Subject: {subject}".encode() in part)
    return message.partition(b"\n")[2]  # b4 gives it without the mbox's own line


def answers(result: RunResult, folder: Path) -> dict[str, dict[str, str]]:
    listed = json.loads(b4.to_json(b4.of_result(result, folder)))
    assert all(set(each) == {"tool", "status", "summary", "details", "url"} for each in listed)
    assert all(each["status"] in ("pass", "warn", "fail") for each in listed)
    by_tool = {each["tool"]: each for each in listed}
    assert len(by_tool) == len(listed)  # b4 keeps one answer a tool
    return by_tool


@pytest.mark.parametrize(
    ("cover", "text"), [("[PATCH 0/2]", b"no_such"), ("[PATCH v2 0/2]", b"{}")]
)
def test_the_version_is_that_of_the_message(cover: str, text: bytes) -> None:
    files = b4.series_of(b4.read_message(mail(cover)), THREAD)
    assert len(files.patches) == 2
    assert text in files.patches[1].content


def test_the_thread_comes_from_the_blob_that_b4_tracks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    done = subprocess.run(
        ["git", "hash-object", "-w", str(THREAD)], capture_output=True, text=True, check=True
    )
    tracking = tmp_path / "tracking.json"
    tracking.write_text(json.dumps({"series": {"thread-blob": done.stdout.strip()}}))
    path = b4.thread(mail("[PATCH v2 0/2]"), None, tracking, tmp_path)
    assert path.read_bytes() == THREAD.read_bytes()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"series": {"thread-blob": "--help"}}'])
def test_a_tracking_file_that_tells_nothing_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracking.json").write_text(text)
    with pytest.raises(UserError, match="only one mail"):
        b4.thread(mail("[PATCH v2 0/2]"), None, tmp_path / "tracking.json", tmp_path)


def test_a_single_patch_is_its_own_thread(tmp_path: Path) -> None:
    alone = mail("[PATCH 1/2]").replace(b"[PATCH 1/2]", b"[PATCH]")
    path = b4.thread(alone, None, None, tmp_path)
    assert len(reader.read(path).patches) == 1
    files = b4.series_of(b4.read_message(alone), path)
    assert len(files.patches) == 1


def test_an_mbox_that_was_named_wins(tmp_path: Path) -> None:
    assert b4.thread(mail("[PATCH v2 0/2]"), THREAD, None, tmp_path) == THREAD


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (a_result.passed, {"toolkit build": "pass", "toolkit kvm": "pass"}),
        (a_result.failed, {"toolkit build": "pass", "toolkit kvm": "fail"}),
        (a_result.broken, {"toolkit build": "fail"}),
        (a_result.without_tests, {"toolkit build": "pass", "toolkit kvm": "warn"}),
    ],
)
def test_each_part_of_a_run_has_its_answer(
    make: Callable[[], RunResult], wanted: dict[str, str], tmp_path: Path
) -> None:
    by_tool = answers(make(), tmp_path)
    assert {tool: each["status"] for tool, each in by_tool.items()} == wanted
    assert all(each["url"].endswith("/report.html") for each in by_tool.values())


def test_details_name_the_hunk_and_the_cases(tmp_path: Path) -> None:
    build = answers(a_result.broken(), tmp_path)["toolkit build"]
    assert build["summary"] == "the kernel does not build"
    assert build["details"].startswith("patch 2, KVM: add iosignalfd: virt/kvm/iosignalfd.c:88:9")
    tests = answers(a_result.failed(), tmp_path)["toolkit kvm"]
    assert tests["summary"].startswith("1 timed out, 2 failed")
    assert "fail: kvm/iosignalfd_args_test/case_03: iosig" in tests["details"]


@pytest.mark.parametrize(
    ("verdict", "tool", "status"),
    [
        (Verdict.BOOT_FAILURE, "toolkit boot", "fail"),
        (Verdict.USER_ERROR, "toolkit apply", "fail"),
        (Verdict.INFRASTRUCTURE, "toolkit apply", "warn"),
    ],
)
def test_a_host_s_fault_is_not_the_series_(
    verdict: Verdict, tool: str, status: str, tmp_path: Path
) -> None:
    result = a_result.passed(verdict=verdict, leaves=(), message="m", detail=("evidence",))
    answer = answers(result, tmp_path)[tool]
    assert (answer["status"], answer["summary"], answer["details"]) == (status, "m", "evidence")


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    for each in answers(a_result.hostile(), tmp_path).values():
        assert "\x1b" not in each["details"] + each["summary"] + each["tool"]


def test_errors_before_the_run_are_answers_too() -> None:
    (answer,) = b4.of_error(UserError("it does not apply", detail=["- x"], hint="rebase"))
    assert (answer.status, answer.details) == ("fail", "- x\nrebase")
    assert b4.of_error(InfrastructureError("no space"))[0].status == "warn"


def test_checkpatch_s_lines_become_findings() -> None:
    (answer,) = b4.of_checkpatch(["-:7: ERROR:FOO: bad", "-:9: WARNING:BAR: hm"])
    assert (answer.status, answer.summary) == ("fail", "2 findings")
    assert json.loads(answer.details)[1] == {
        "status": "warn",
        "description": "-:9: WARNING:BAR: hm",
    }
    assert b4.of_checkpatch([])[0].status == "pass"


def test_a_suite_that_ran_nothing_says_why(tmp_path: Path) -> None:
    (_, suite) = b4.of_result(a_result.without_tests(), tmp_path)
    assert (suite.status, suite.summary) == ("warn", "10 skipped")
    assert suite.details == "10 skipped: /dev/kvm cannot be opened"


def test_a_library_that_this_host_lacks_is_no_failure_of_the_series(tmp_path: Path) -> None:
    lacks = ("/usr/bin/ld: cannot find -lcap: No such file or directory",)
    broken = dataclasses.replace(a_result.broken(), blames=(), detail=lacks)
    (answer,) = b4.of_result(broken, tmp_path)
    assert answer.status == "warn"
    (answer,) = b4.of_result(a_result.broken(), tmp_path)
    assert answer.status == "fail"
