"""What is kept of the lines that each program ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_kernels import Laboratory, Watcher
from tests.unit.fake_tree import create, series
from tests.unit.mutate.some_mutants import mutant
from toolkit.core.errors import UserError
from toolkit.mutate import coverage
from toolkit.workflow.run import Run

SERIES = series(create("a.c", "int f(void)\n{\n}\n"))
LINES = [("a.c", 5, ["kvm/a_test", "gone"]), ("a.c", 6, ["boot", "kvm/b_test"]), ("a.c", 7, [])]
PROGRAMS = ["kvm/a_test", "kvm/b_test"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Laboratory(tmp_path, monkeypatch).run(SERIES)


def test_lines_are_measured_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Run] = []

    def measure(run: Run) -> list[tuple[str, int, list[str]]]:
        measured.append(run)
        return LINES

    monkeypatch.setattr(coverage, "_measure", measure)
    first = coverage.covered_lines(run, PROGRAMS)
    second = coverage.covered_lines(run, PROGRAMS)
    assert first == second
    assert len(measured) == 1
    assert first.of(mutant(line=5)) == ("kvm/a_test",)
    assert first.of(mutant(line=6)) == tuple(PROGRAMS)
    assert first.of(mutant(line=7)) == ()


def test_a_kernel_that_cannot_count_has_every_program_tried(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Run) -> None:
        raise UserError("CONFIG_GCOV_KERNEL cannot be had")

    told: list[str] = []
    assert isinstance(run.observer, Watcher)
    monkeypatch.setattr(run.observer, "notice", told.append, raising=False)
    monkeypatch.setattr(coverage, "_measure", fail)
    assert coverage.covered_lines(run, PROGRAMS).of(mutant(line=7)) == tuple(PROGRAMS)
    assert "CONFIG_GCOV_KERNEL cannot be had" in told[0]
