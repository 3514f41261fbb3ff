"""``summary.md`` of a matrix: what a CI page shows of it, in GitHub's Markdown."""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING, Any

from toolkit.report import markdown, templates
from toolkit.report.markdown import block, cell, html, span
from toolkit.report.matrix.view import Entry, MatrixView, full_label
from toolkit.report.wording import duration

if TYPE_CHECKING:
    from jinja2 import Template

_LIMITS = {"MAX_CELLS": 400, "MAX_FAILURES": markdown.MAX_FAILURES, "MAX_LEAVES": 20}
_MARKS = {"good": "✅", "bad": "❌"}


def render(view: MatrixView) -> bytes:
    """Return the summary; it is bounded, since CI pages refuse what is too long."""
    return f"{_template().render(view=view).rstrip()}\n".encode(errors="replace")


@functools.cache
def _template() -> Template:
    functions = (block, cell, duration, first_line, html, mark, span)
    helpers: dict[str, Any] = {function.__name__: function for function in functions}
    helpers |= {"label": full_label, "repeated": shlex.join, **_LIMITS}
    return templates.load("matrix.md.j2", templates.printed, helpers)


def mark(entry: Entry) -> str:
    """Return the sign of how a cell ended."""
    return _MARKS.get(entry.tone, "⚠️")


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.partition("\n")[0]
