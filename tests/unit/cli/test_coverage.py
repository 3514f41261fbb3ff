from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import a_result
from tests.unit.cli.conftest import Call
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.report import artifacts

SUBJECT = a_result.PATCHES[0]


def a_run(folder: Path, architecture: str, *ran: bool) -> str:
    """Write the run of one patch with a line of code for each of ``ran``; return its folder."""
    lines = [
        LineRun(f"+line{number}();", number, (0,) if each else ())
        for number, each in enumerate(ran, 1)
    ]
    hunk = HunkRun(1, "virt/kvm/bus.c", (LineRun("@@ -0,0 +1,2 @@"), *lines))
    row = PatchRun(1, SUBJECT, len(ran), sum(ran), 0)
    result = a_result.passed(coverage=Coverage(("kvm/bus_test",), (row,), (hunk,)))
    environment = dataclasses.replace(result.environment, architecture=architecture)
    folder.mkdir()
    artifacts.write(folder, dataclasses.replace(result, environment=environment))
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    return (
        a_run(tmp_path / "one", "x86_64", True, False, False),
        a_run(tmp_path / "two", "arm64", False, True, False),
    )


def test_two_architectures_are_merged(command_line: Call, runs: tuple[str, str]) -> None:
    code, printed = command_line("coverage", "merge", *runs)
    assert code == 0
    assert printed.splitlines()[0] == "iosignalfd/v4: x86_64, arm64"
    assert "66.6 % of the 3 lines that the series adds were run" in printed
    assert f"66.6 %     2/3    patch 1: {SUBJECT}" in printed
    assert "   - +line3();" in printed


def test_runs_of_one_architecture_are_told_apart(
    command_line: Call, runs: tuple[str, str], tmp_path: Path
) -> None:
    third = a_run(tmp_path / "three", "arm64", False, False, True)
    code, printed = command_line("coverage", "merge", *runs, third)
    assert code == 0
    assert printed.splitlines()[0] == "iosignalfd/v4: x86_64, two, three"
    assert "100.0 % of the 3 lines" in printed


def test_too_few_lines_are_the_series_fault(command_line: Call, runs: tuple[str, str]) -> None:
    code, printed = command_line("coverage", "merge", *runs, "--fail-under", "67")
    assert code == 1
    assert "the tests ran 66.6 % of the 3 lines" in printed
    assert command_line("coverage", "merge", *runs, "--fail-under", "66")[0] == 0


def test_bad_input_is_the_callers(
    command_line: Call, runs: tuple[str, str], tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    artifacts.write(plain, a_result.passed())
    wrong = {
        (runs[0],): "name two runs at least",
        (runs[0], runs[0]): "is named twice",
        (runs[0], str(plain)): "this run has no coverage",
        (runs[0], str(tmp_path / "none")): "none",
    }
    for words, message in wrong.items():
        code, printed = command_line("coverage", "merge", *words)
        assert (code, message in printed) == (2, True), printed
