from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import a_result, golden_reports
from toolkit.core.errors import UserError
from toolkit.core.model.machine import Splat
from toolkit.core.model.provenance import Environment
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.series import Mailing
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import artifacts, html_page, junit, kcidb, mail, markdown, view

SPLAT = Splat("warning", "WARNING: CPU: 0 PID: 1 at a.c:1", "cut here\nWARNING\n<end>", False, 7)
LEAVES = (
    Leaf("kvm/access/good", Status.PASS, seconds=0.25),
    Leaf("kvm/access/deep/er", Status.FAIL, "wanted <1> & got 2\nmore \x1b[31m \ufffe", 0.5),
    Leaf("kvm/access", Status.CRASH, "killed by SIGSEGV"),
    Leaf("kvm/access/dmesg", Status.FAIL, SPLAT.title),
    Leaf("kvm/limits/skip", Status.SKIP, "no such limit"),
    Leaf("kvm/limits/known", Status.XFAIL, "as ever", known="finding 2"),
    Leaf("kvm/limits/fixed", Status.XPASS, "it passed", known="finding 3"),
    Leaf("boot/dmesg", Status.FAIL, SPLAT.title),
)
RESULT = RunResult(
    verdict=Verdict.FAIL,
    exit_code=1,
    command=("toolkit", "build-and-test", "--patch", "v4"),
    started="2026-01-02T03:04:05+00:00",
    seconds=61.5,
    toolkit="0.1",
    series="iosignalfd/v4",
    patches=("KVM: add it",),
    kernel="debian:6.12",
    stages=(StageRecord("build", 40.0, True, "found"),),
    leaves=LEAVES,
    splats=(SPLAT,),
    environment=Environment(compiler="gcc"),
)


def change(**changes: Any) -> RunResult:
    return dataclasses.replace(RESULT, **changes)


def test_written_result_reads_back(tmp_path: Path) -> None:
    artifacts.write(tmp_path, RESULT)
    assert artifacts.read_result(tmp_path) == RESULT
    assert artifacts.read_result(tmp_path / "result.json") == RESULT
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("junit.xml", "kcidb.json", "report.html", "report.txt", "result.json", "summary.md")
    ]


def test_the_keys_of_version_1_stay(tmp_path: Path) -> None:
    result = a_result.patch_by_patch()
    artifacts.write(tmp_path, result)
    data = json.loads((tmp_path / "result.json").read_bytes())
    assert set(data["comparison"]["leaves"][0]) == {
        *("id", "standing", "before", "after", "message", "repeats")
    }
    assert set(data["steps"][1]["changes"][0]) == {
        *("id", "before", "after", "message", "said_before", "repeats")
    }
    assert artifacts.read_result(tmp_path) == result
    jsonschema.validate(data, artifacts.schema())


def test_result_fits_its_schema() -> None:
    jsonschema.validate(json.loads(artifacts.to_json(RESULT)), artifacts.schema())
    broken = json.loads(artifacts.to_json(change(verdict=Verdict.PASS)))
    broken["leaves"][0]["status"] = "splendid"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, artifacts.schema())


def test_shipped_schema_is_current() -> None:
    shipped = json.loads(artifacts.SCHEMA_FILE.read_text())
    assert shipped == artifacts.schema(), "run python -m toolkit.report.artifacts"
    jsonschema.Draft202012Validator.check_schema(shipped)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    artifacts.write(tmp_path, RESULT)
    with pytest.raises(TypeError):
        artifacts.write(tmp_path, change(message=object()))
    assert artifacts.read_result(tmp_path) == RESULT
    assert len(list(tmp_path.iterdir())) == 6


def test_the_summary_is_appended_to_the_page_of_the_job(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    artifacts.write(tmp_path, RESULT, page)
    text = (tmp_path / "summary.md").read_text()
    assert page.read_text() == f"before\n{text}\n"


@pytest.mark.parametrize("form", golden_reports.FORMS)
@pytest.mark.parametrize("state", a_result.STATES)
def test_every_state_reads_as_it_did(state: str, form: str) -> None:
    text = golden_reports.FORMS[form](a_result.STATES[state]())
    assert text.decode() == (golden_reports.FOLDER / state / form).read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("\xff", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no result"),
        ('{"a": 1}', "no result"),
        ('{"schema": 2}', "version 2"),
        ('{"schema": true}', "version True"),
        ('{"schema": 1}', "damaged: verdict"),
    ],
)
def test_unreadable_result_is_the_user_s_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "result.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=words) as caught:
        artifacts.read_result(tmp_path)
    assert caught.value.hint


def test_truncated_result_is_the_user_s_error(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(artifacts.to_json(RESULT)[:-40])
    with pytest.raises(UserError, match="no JSON"):
        artifacts.read_result(tmp_path)


def test_missing_result_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        artifacts.read_result(tmp_path)


ANY = st.text(st.characters(exclude_categories=[]))  # halves of surrogate pairs, too


@given(ANY, ANY, st.sampled_from(Status), st.sampled_from(Verdict))
def test_any_text_survives(name: str, message: str, status: Status, verdict: Verdict) -> None:
    splat = dataclasses.replace(SPLAT, title=message, text=message + name, during=f"a/{name}")
    leaves = (Leaf(f"a/b/{name}", status, message, known=name), Leaf(name, status))
    result = change(
        leaves=leaves,
        splats=(splat,),
        message=message,
        series=name,
        verdict=verdict,
        detail=(message,),
        command=("toolkit", name),
        mailing=Mailing("<a@b>", message, name, name),
    )
    assert json.loads(artifacts.to_json(result))["leaves"][0]["status"] == status
    extra = verdict not in (Verdict.PASS, Verdict.FAIL)
    assert junitparser.JUnitXml.fromstring(junit.render(view.of(result))).tests == 2 + extra
    for form in (html_page, mail, markdown):
        form.render(view.of(result)).decode()
    b"".join(kcidb.render(view.of(result))).decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.integers(0, 4000))
def test_damage_never_raises_anything_else(tmp_path: Path, noise: bytes, at: int) -> None:
    good = artifacts.to_json(RESULT)
    file = tmp_path / "result.json"
    file.write_bytes(good[:at] + noise + good[at + len(noise) :])
    with contextlib.suppress(UserError):
        artifacts.read_result(file)


def test_file_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    artifacts.write(tmp_path, change(command=("toolkit", "\udcff")))
    assert artifacts.read_result(tmp_path).command == ("toolkit", "\\udcff")


def test_no_reply_is_written_when_this_host_is_at_fault(tmp_path: Path) -> None:
    artifacts.write(tmp_path, RESULT)
    artifacts.write(tmp_path, change(verdict=Verdict.INFRASTRUCTURE, message="no space left"))
    assert not (tmp_path / "report.txt").exists()
    assert "report.txt" not in (tmp_path / "report.html").read_text()
    lacks = ("/usr/bin/ld: cannot find -lcap: No such file or directory",)
    artifacts.write(tmp_path, change(verdict=Verdict.BUILD_BREAK, leaves=(), detail=lacks))
    assert not (tmp_path / "report.txt").exists()
