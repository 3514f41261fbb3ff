"""The parts of ``report.html`` that stand beside another kernel: the base, each patch."""

from __future__ import annotations

from typing import Any

from toolkit.core.model.comparison import Comparison, LeafChange, PatchStep
from toolkit.core.model.result import RunResult
from toolkit.core.model.testing import Status
from toolkit.report import comparison_text
from toolkit.report.wording import duration

MAX_POINTS = 500
MAX_ROWS = 500
_TONES = {Status.PASS: "good", Status.SKIP: "still", Status.XFAIL: "warn"}
_MARKS = {Status.PASS: "✓", Status.SKIP: "-", Status.XFAIL: "✓"}
_BAD, _NOTHING = "✗", "·"


def names(result: RunResult) -> dict[str, Any]:
    """Return what the template sees of the comparison and of the steps."""
    return {
        "comparison": _comparison(result.comparison) if result.comparison else None,
        "steps": [_step(step) for step in result.steps],
        "matrix": _matrix(result),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    points = comparison_text.notable(comparison)
    return {
        "base": comparison.base,
        "tally": comparison_text.tally(comparison),
        "confidence": f"{100 * comparison.confidence:g} %",
        "points": [
            {
                "id": point.id,
                "leaf_class": point.leaf_class.value,
                "tone": "bad" if point.leaf_class.bad else "warn",
                "told": comparison_text.told(point),
            }
            for point in points[:MAX_POINTS]
        ],
        "left": max(0, len(points) - MAX_POINTS),
    }


def _step(step: PatchStep) -> dict[str, Any]:
    return {
        "label": comparison_text.label(step),
        "subject": step.subject or "the unpatched kernel",
        "outcome": comparison_text.outcome(step),
        "took": duration(step.seconds),
        "changed": comparison_text.summary_of(step),
        "broken": [_broken(change) for change in comparison_text.broken(step)[:MAX_POINTS]],
        "warnings": step.warnings,
        "message": step.message,
    }


def _broken(change: LeafChange) -> dict[str, str]:
    return {"id": change.id, "how": comparison_text.how_broken(change), "message": change.message}


def _matrix(result: RunResult) -> dict[str, Any]:
    rows = comparison_text.matrix(result.steps)
    return {
        "columns": [comparison_text.label(step) for step in result.steps],
        "rows": [
            {
                "name": row.name,
                "bad": row.bad,
                "cells": [
                    {"tone": tone(cell), "mark": _mark(cell), "word": _word(cell), "changed": now}
                    for cell, now in zip(row.cells, row.changed, strict=True)
                ],
            }
            for row in rows[:MAX_ROWS]
        ],
        "left": max(0, len(rows) - MAX_ROWS),
    }


def tone(status: Status | None) -> str:
    """Return the class of a status in the page's style."""
    return "none" if status is None else _TONES.get(status, "bad")


def _mark(status: Status | None) -> str:
    return _NOTHING if status is None else _MARKS.get(status, _BAD)


def _word(status: Status | None) -> str:
    return "no result" if status is None else status.value
