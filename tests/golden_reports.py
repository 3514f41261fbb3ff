"""The text reports of every state, as they were last looked at.

After a change that is meant: ``python -m tests.golden_reports`` writes them again, and
``git diff tests/data/reports`` shows what a reader will see.
"""

from __future__ import annotations

import io
from pathlib import Path

from tests import a_result
from toolkit.core.model.result import RunResult
from toolkit.report import mail, markdown, terminal_summary, view

FOLDER = Path(__file__).parent / "data/reports"


def _terminal(result: RunResult) -> bytes:
    stream = io.StringIO()
    terminal_summary.summary(result, Path("/runs/one"), stream)
    return stream.getvalue().encode()


FORMS = {
    "summary.md": lambda result: markdown.render(view.of(result)),
    "report.txt": lambda result: mail.render(view.of(result)),
    "terminal.txt": _terminal,
}


if __name__ == "__main__":
    for state, make in a_result.STATES.items():
        (FOLDER / state).mkdir(parents=True, exist_ok=True)
        for form, render in FORMS.items():
            (FOLDER / state / form).write_bytes(render(make()))
