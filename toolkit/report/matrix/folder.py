"""The files that a matrix leaves for its readers; ``matrix.json`` has all that is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolkit.core import files
from toolkit.core.model.matrix import MatrixResult
from toolkit.report import artifacts
from toolkit.report.matrix import document, merged, page, summary, view

HTML = "index.html"


def write(root: Path, result: MatrixResult, step_summary: Path | None = None) -> None:
    """Write every report; each is whole or absent. The cells have theirs below ``root``.

    ``step_summary`` is as in :func:`toolkit.report.artifacts.write`. Raises :class:`OSError` where
    something cannot be written.
    """
    shown = view.of(result)
    text = summary.render(shown)
    contents: dict[str, Iterable[bytes]] = {
        document.FILE: [document.to_json(result)],
        artifacts.JUNIT: merged.junit(result, root),
        artifacts.KCIDB: merged.kcidb_parts(result, root),
        artifacts.SUMMARY: [text],
        HTML: [page.render(shown)],
    }
    for name, parts in contents.items():
        files.replace(root / name, parts)
    if step_summary:
        with step_summary.open("ab") as file:
            file.write(text + b"\n")
