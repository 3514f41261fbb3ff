"""The part of ``report.html`` that says which lines of the series the tests ran."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from toolkit.core.model.coverage import Coverage, LineRun
from toolkit.report import coverage_text

MAX_HUNK_LINES = 8000
MAX_EXCERPTS = 100
_MAX_NAMES = 12
_KINDS = {"+": "add", "-": "del", "@": "head"}


def names(found: Coverage) -> dict[str, Any]:
    """Return what the template sees of the coverage."""
    parts = list(itertools.islice(coverage_text.excerpts(found.hunks), MAX_EXCERPTS + 1))
    left = MAX_HUNK_LINES
    patches = []
    for row in found.patches:
        hunks = []
        for hunk in found.hunks:
            if hunk.patch == row.patch and left > 0:
                lines = _covered(hunk.lines[:left])
                hunks.append({"file": hunk.file, "lines": lines})
                left -= len(lines)
        both = coverage_text.percent(coverage_text.share(row, explained=True))
        patches.append(
            {
                "name": f"Patch {row.patch}: {row.subject}",
                "width": round(10 * coverage_text.share(row), 1),
                "explained": round(10 * coverage_text.share(row, explained=True), 1),
                "percent": coverage_text.percent(coverage_text.share(row)),
                "count": f"{row.ran} of {row.lines} lines",
                "both": f"{both} run or explained" if row.explained else "",
                "missing": row.lines - row.ran,
                "hunks": hunks,
            }
        )
    return {
        "headline": coverage_text.headline(found),
        "programs": len(found.programs),
        "patches": patches,
        "excerpts": [
            {
                "file": f"patch {part.hunk.patch}, {part.hunk.file}",
                "lines": _covered((part.hunk.lines[0], *part.lines)),
            }
            for part in parts[:MAX_EXCERPTS]
        ],
        "unshown": len(parts) > MAX_EXCERPTS,
        "unbuilt": found.unbuilt[:_MAX_NAMES],
        "lost": found.lost[:_MAX_NAMES],
        "cut": left <= 0,
    }


def _covered(lines: Iterable[LineRun]) -> list[dict[str, Any]]:
    return [
        {
            "text": line.text,
            "kind": _KINDS.get(line.text[:1], "same"),
            "missing": coverage_text.is_unrun(line),
            "mark": "not run" if coverage_text.is_unrun(line) else coverage_text.mark(line),
            "explained": bool(line.explained),
            "why": why,
        }
        for line, why in coverage_text.explanations(lines)
    ]
