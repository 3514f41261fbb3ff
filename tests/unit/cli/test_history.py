from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import a_result
from toolkit.cli import main
from toolkit.core.errors import UserError
from toolkit.report import artifacts, history

Call = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a user who has run three times."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "kernel-toolkit"
    made = (a_result.passed(), a_result.failed(), a_result.broken())
    for day, result in enumerate(made, 1):
        run = folder / f"runs/2026010{day}T000000Z-v4-{'abc'[day - 1] * 4}"
        run.mkdir(parents=True)
        artifacts.write(run, result)
        history.record(folder / "history.sqlite", result, run)
    return folder


@pytest.fixture
def call(state: Path) -> Call:
    def run(*words: str) -> Result:
        return CliRunner().invoke(main.cli, list(words), catch_exceptions=False)

    return run


def test_history_lists_the_runs(call: Call) -> None:
    lines = call("history").output.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("2026-05-28 09:12  pass ")
    assert "3 of 61 bad" in lines[1]
    assert "iosignalfd/v4 on 6.12.117" in lines[1]
    assert lines[2].endswith("-v4-cccc")


def test_history_follows_a_leaf(call: Call, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    lines = call("history", "args_test/case_03", "--svg", str(plot)).output.splitlines()
    assert lines[0] == "kvm/iosignalfd_args_test/case_03"
    assert [line.split()[3] for line in lines[1:3]] == ["pass", "fail"]
    assert "█" in lines[1]
    assert lines[3] == str(plot)
    assert plot.read_bytes().startswith(b"<svg ")


def test_history_follows_a_stage(call: Call) -> None:
    lines = call("history", "--stage", "build").output.splitlines()
    assert lines[0] == "stage build"
    assert len(lines) == 3  # the third run's build broke
    asked = call("history", "--stage", "biuld")
    assert asked.exit_code == 2
    assert "there is: " in asked.output


def test_a_leaf_and_a_stage_at_once_are_refused(call: Call) -> None:
    assert call("history", "x", "--stage", "build").exit_code == 2


def test_compare_takes_parts_of_names(call: Call) -> None:
    output = call("compare", "aaaa", "bbbb").output
    assert "2 went from good to bad:" in output
    assert call("compare", "bbbb", "aaaa").output.count("went from bad to good") == 1


def test_reproduce_needs_a_run_that_came_to_its_tests(call: Call) -> None:
    with pytest.raises(UserError, match="did not come to its tests"):
        call("reproduce", "bbbb", "args_test")


def test_series_import_says_what_it_made(tmp_path: Path, call: Call) -> None:
    root = tmp_path / "root"
    for name in ("patches", "kselftests", "vm-images"):
        (root / name).mkdir(parents=True)
    thread = Path(__file__).parents[2] / "data/mbox/thread.mbox"
    done = call("--root", str(root), "series", "import", str(thread), "--name", "kvm-fix/v2")
    assert "toolkit build-and-test --patch kvm-fix/v2" in done.output
    assert "kvm-fix/v2" in call("--root", str(root), "series", "list").output


def test_b4_gets_json_whatever_it_gave(state: Path) -> None:
    for words, message in (("series", b"no mail at all"), ("patch", b""), ("series", b"\xff\x00")):
        done = CliRunner().invoke(main.cli, ["b4-check", words], input=message)
        assert done.exit_code == 0
        (answer,) = json.loads(done.stdout)
        assert answer["status"] == "fail"
        assert "standard input is no mail" in answer["summary"]
