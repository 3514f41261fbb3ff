from __future__ import annotations

import json

import jsonschema
import pytest

from tests.a_matrix import a_matrix, hostile
from toolkit.core.model.matrix import MatrixResult
from toolkit.report.matrix import document


def test_the_schema_in_its_file_is_that_of_the_type() -> None:
    assert document.SCHEMA_FILE.read_text() == document.schema_text(), (
        "write it anew: python -m toolkit.report.matrix.document"
    )


@pytest.mark.parametrize("matrix", [a_matrix(), hostile()], ids=["a matrix", "hostile"])
def test_matrix_json_fits_its_schema(matrix: MatrixResult) -> None:
    jsonschema.validate(
        json.loads(document.to_json(matrix)), json.loads(document.SCHEMA_FILE.read_text())
    )


def test_a_cell_is_read_as_it_was_written() -> None:
    for cell in a_matrix().cells:
        assert document.read_cell(document.of_cell(cell)) == cell
    with pytest.raises(ValueError, match="verdict"):
        document.read_cell(document.of_cell(a_matrix().cells[0]).replace(b'"pass"', b'"good"'))
