"""``matrix.json``, which has all that is known of a matrix.

It is :class:`~toolkit.core.model.matrix.MatrixResult`, written out. Its JSON Schema is
``schemas/matrix-v1.json``; ``python -m toolkit.report.matrix.document`` writes it.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import TypeAdapter

from toolkit.core.model.matrix import CellResult, MatrixResult
from toolkit.formats import json_schema

FILE = "matrix.json"
VERSION = 1
SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / f"matrix-v{VERSION}.json"


def to_json(result: MatrixResult) -> bytes:
    """Return a result as it stands in its file."""
    return _matrix().dump_json(result, indent=2) + b"\n"


def of_cell(result: CellResult) -> bytes:
    """Return what became of one cell as JSON."""
    return _cell().dump_json(result)


def read_cell(data: bytes) -> CellResult:
    """Return what :func:`of_cell` was given; raises :class:`ValueError` for anything else."""
    return _cell().validate_json(data)


def schema_text() -> str:
    """Return the JSON Schema as it stands in its file."""
    return json_schema.text(json_schema.of_version(_matrix(), VERSION))


@functools.cache
def _matrix() -> TypeAdapter[MatrixResult]:
    return TypeAdapter(MatrixResult)


@functools.cache
def _cell() -> TypeAdapter[CellResult]:
    return TypeAdapter(CellResult)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
