"""The command line of `toolkit mutate`, on a campaign that only pretends."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call
from tests.unit.mutate.some_mutants import by_hand, mutant
from tests.unit.report.test_mutation_view import MUTATION
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.mutation import Mutant, Mutation
from toolkit.mutate.campaign import Campaign
from toolkit.report import artifacts
from toolkit.workflow import pipeline


@pytest.fixture
def call(command_line: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs `toolkit mutate`; no report is written."""
    monkeypatch.setattr(artifacts, "write_mutation", lambda *_: None)
    return functools.partial(command_line, "mutate")


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Campaign]:
    """Have campaigns try nothing, and return them."""
    campaigns: list[Campaign] = []

    def result(self: Campaign) -> Mutation:
        campaigns.append(self)
        return replace(MUTATION, wanted=self.plan.fail_under)

    def candidates(self: Campaign) -> list[Mutant]:
        return [mutant("bbb", line=9), by_hand("51-x"), mutant("aaa", line=2)]

    monkeypatch.setattr(pipeline, "build_and_test", lambda *_: None)
    monkeypatch.setattr(Campaign, "result", result)
    monkeypatch.setattr(Campaign, "candidates", candidates)
    return campaigns


def test_survivors_are_no_failure_unless_a_score_was_asked_for(
    call: Call, plans: list[Campaign]
) -> None:
    code, printed = call("--patch", "v4")
    assert code == 0
    assert "survived: boundary" in printed
    assert "mutants.json" in printed
    code, printed = call("--patch", "v4", "--fail-under", "95")
    assert code == 1
    assert "95 % were asked for" in printed
    assert call("--patch", "v4", "--fail-under", "20")[0] == 0


def test_options_become_the_plan(call: Call, plans: list[Campaign], tmp_path: Path) -> None:
    words = ("--sample", "60", "--seed", "7", "--since", "5", "--operator", "lock-*")
    call("--patch", "v4", *words, "--mutant", "aaa", "--faults", str(tmp_path))
    plan = plans[0].plan
    assert (plan.sample, plan.seed, plan.faults) == (60, 7, tmp_path)
    assert plan.selected.since == "5"
    assert plan.selected.operators == ("lock-*",)
    assert plan.selected.ids == ("aaa",)
    assert plans[0].run.request.seconds > 86400


def test_an_earlier_run_is_read(
    call: Call, plans: list[Campaign], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mutants.json").write_bytes(artifacts.to_json(MUTATION))
    assert call("--patch", "v4", "--survivors", str(tmp_path))[0] == 0
    assert plans[0].plan.earlier == MUTATION
    code, printed = call("--patch", "v4", "--survivors", str(tmp_path), "--sample", "3")
    assert code == 2
    assert "no sample of them" in printed
    (tmp_path / "mutants.json").write_text("{}")
    code, printed = call("--patch", "v4", "--survivors", str(tmp_path))
    assert code == 2
    assert "is no result of a run" in printed


def test_the_list_is_in_the_order_of_the_files(call: Call, plans: list[Campaign]) -> None:
    code, printed = call("--patch", "v4", "--list")
    assert code == 0
    rows = [line for line in printed.splitlines() if "  a.c:" in line]
    assert [row.split()[0] for row in rows] == ["51-x", "aaa", "bbb"]
    assert "boundary: < -> <=" in rows[1]
    assert "\n3 mutants\n" in printed


def test_a_sample_of_nothing_is_the_callers_fault(call: Call) -> None:
    code, printed = call("--patch", "v4", "--sample", "0")
    assert code == 2
    assert "a sample of 0 mutants says nothing" in printed


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(
    ("error", "code"),
    [(InfrastructureError("QEMU is gone"), 3), (KeyboardInterrupt("interrupted"), 130)],
)
@pytest.mark.parametrize("tried", [True, False])
def test_what_has_come_before_the_end_is_written_and_shown(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, tried: bool
) -> None:
    written: list[Path] = []

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "build_and_test", fail)
    monkeypatch.setattr(Campaign, "has_verdicts", lambda _: tried)
    monkeypatch.setattr(artifacts, "write_mutation", lambda folder, _: written.append(folder))
    ended, printed = call("--patch", "v4")
    assert ended == code
    assert str(error) in printed
    assert len(written) == tried
    assert ("the tests noticed 1 of 4 mutants" in printed) is tried


def test_a_full_disk_does_not_hide_what_ended_the_run(
    call: Call, plans: list[Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts, "write_mutation", full)
    assert call("--patch", "v4")[0] == 3
    monkeypatch.setattr(pipeline, "build_and_test", fail)
    monkeypatch.setattr(Campaign, "has_verdicts", lambda _: True)
    assert call("--patch", "v4")[0] == 130


def test_a_score_to_reach_that_is_no_number_is_refused(call: Call, plans: list[Campaign]) -> None:
    code, printed = call("--patch", "v4", "--fail-under", "nan")
    assert (code, plans) == (2, [])
    assert "is no number" in printed
