"""The text reports of a matrix, as they were last looked at: ``python -m tests.golden_matrix``."""

from __future__ import annotations

import io
from pathlib import Path

from tests.a_matrix import a_matrix
from toolkit.core.model.matrix import MatrixResult
from toolkit.report.matrix import display, document, page, summary, view

FOLDER = Path(__file__).parent / "data/reports/matrix"


def _terminal(result: MatrixResult) -> bytes:
    stream = io.StringIO()
    display.summary(result, Path("/matrix/one"), stream)
    return stream.getvalue().encode()


def _grid(result: MatrixResult) -> bytes:
    """Return the page without its style, which has a golden file of its own: itself."""
    text = page.render(view.of(result)).decode()
    return (text[: text.index("<style>")] + text[text.index("</style>") :]).encode()


FORMS = {
    "matrix.json": document.to_json,
    "summary.md": lambda result: summary.render(view.of(result)),
    "terminal.txt": _terminal,
    "index.html": _grid,
}


if __name__ == "__main__":
    for form, render in FORMS.items():
        (FOLDER / form).write_bytes(render(a_matrix()))
