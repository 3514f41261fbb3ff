from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import JUnitXml
from kcidb_io.schema import V5_0

from tests.a_matrix import RESULTS, a_matrix, hostile, write_cells
from toolkit.core.model.matrix import MatrixResult
from toolkit.core.model.result import Verdict
from toolkit.report.matrix import merged


@pytest.mark.parametrize("matrix", [a_matrix(), hostile()], ids=["a matrix", "hostile"])
def test_junit_has_the_cells_and_counts_what_is_in_them(
    matrix: MatrixResult, tmp_path: Path
) -> None:
    write_cells(tmp_path, matrix)
    text = b"".join(merged.junit(matrix, tmp_path))
    document_ = JUnitXml.fromstring(text)
    assert len(list(document_)) == len(matrix.cells)
    cases = text.count(b"<testcase ")
    assert document_.tests == cases == sum(suite.tests for suite in document_)
    assert document_.failures == text.count(b"<failure ")
    assert document_.errors == text.count(b"<error ")
    assert document_.skipped == text.count(b"<skipped ")
    assert cases == sum(
        sum(cell.counts.values())
        + (not cell.folder or cell.verdict not in (Verdict.PASS, Verdict.FAIL))
        for cell in matrix.cells
    )


def test_junit_of_a_cell_whose_reports_are_gone_is_an_error(tmp_path: Path) -> None:
    (cell,) = (each for each in a_matrix().cells if each.name == "v4-old-kvm")
    text = b"".join(merged.junit(replace(a_matrix(), cells=(cell,)), tmp_path))
    assert b'<error message="" type="pass"' in text


@pytest.mark.parametrize("matrix", [a_matrix(), hostile()], ids=["a matrix", "hostile"])
def test_kcidb_io_takes_the_whole(matrix: MatrixResult, tmp_path: Path) -> None:
    write_cells(tmp_path, matrix)
    data = json.loads(b"".join(merged.kcidb_parts(matrix, tmp_path)))
    V5_0.validate_exactly(data)
    if matrix.title == "Nightly":
        assert len(data["checkouts"]) == len(RESULTS)
        leaves = sum(len(result.leaves) for result in RESULTS.values())
        assert len(data["tests"]) == leaves
        assert len(data["issues"]) == len({each["issue_id"] for each in data["incidents"]}) == 1


def test_a_build_that_several_cells_share_is_in_kcidb_once(tmp_path: Path) -> None:
    one = replace(a_matrix().cells[0], folder="builds/b")
    matrix = replace(a_matrix(), cells=(one, replace(one, name="other")))
    (tmp_path / "builds/b").mkdir(parents=True)
    write = {"version": {"major": 5, "minor": 0}, "checkouts": [{"id": "kernel_toolkit:x"}]}
    (tmp_path / "builds/b/kcidb.json").write_text(json.dumps(write))
    data = json.loads(b"".join(merged.kcidb_parts(matrix, tmp_path)))
    assert data["checkouts"] == [{"id": "kernel_toolkit:x"}]
