"""The parts of ``report.html`` that stand beside another kernel: the base, each patch."""

from __future__ import annotations

from typing import Any

from toolkit import beside
from toolkit.evidence import Comparison, LeafChange, PatchStep
from toolkit.model import RunResult, Status
from toolkit.outline import duration

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
    points = beside.notable(comparison)
    return {
        "base": comparison.base,
        "tally": beside.tally(comparison),
        "confidence": f"{100 * comparison.confidence:g} %",
        "points": [
            {
                "id": point.id,
                "standing": point.standing.value,
                "tone": "bad" if point.standing.bad else "warn",
                "told": beside.told(point),
            }
            for point in points[:MAX_POINTS]
        ],
        "left": max(0, len(points) - MAX_POINTS),
    }


def _step(step: PatchStep) -> dict[str, Any]:
    return {
        "label": beside.label(step),
        "subject": step.subject or "the unpatched kernel",
        "outcome": beside.outcome(step),
        "took": duration(step.seconds),
        "changed": beside.summary_of(step),
        "broken": [_broken(change) for change in beside.broken(step)[:MAX_POINTS]],
        "warnings": step.warnings,
        "message": step.message,
    }


def _broken(change: LeafChange) -> dict[str, str]:
    return {"id": change.id, "how": beside.how_broken(change), "message": change.message}


def _matrix(result: RunResult) -> dict[str, Any]:
    rows = beside.matrix(result.steps)
    return {
        "columns": [beside.label(step) for step in result.steps],
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
