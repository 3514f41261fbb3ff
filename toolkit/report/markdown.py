"""``summary.md``: what a CI page shows of a run, in GitHub's Markdown.

Text from outside stands in code spans and code blocks alone, whose fences are longer than any run
of backticks in them, so it cannot end one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.core.text import counted, visible
from toolkit.report import templates
from toolkit.report.view import Program, ReportView
from toolkit.report.wording import duration, percent
from toolkit.testing.leaf_ids import case_name

if TYPE_CHECKING:
    from jinja2 import Template

MAX_FAILURES = 30
MAX_PROGRAMS = 100
MAX_SUITES = 200
MAX_REASONS = 10  # why tests were skipped
MAX_LINES = 20  # of one message or report
MAX_LINE = 300


def render(view: ReportView) -> bytes:
    """Return the summary; it is bounded, since CI pages refuse what is too long."""
    text = _template().render(view=view, result=view.result)
    return f"{text.rstrip()}\n".encode(errors="replace")


@functools.cache
def _template() -> Template:
    functions = (span, cell, block, html, cases, duration, percent)
    helpers = {function.__name__: function for function in functions}
    limits = {
        "MAX_FAILURES": MAX_FAILURES,
        "MAX_PROGRAMS": MAX_PROGRAMS,
        "MAX_SUITES": MAX_SUITES,
        "MAX_REASONS": MAX_REASONS,
    }
    return templates.load("summary.md.j2", templates.printed, {**helpers, **limits})


def cases(program: Program) -> str:
    """Return the leaves of a program, each with its message."""
    return "\n".join(
        f"{leaf.status.value.upper()} {case_name(leaf.id)}"
        + (f": {message}" if (message := program.message(leaf)) else "")
        for leaf in program.leaves
    )


def span(text: str) -> str:
    """Return ``text`` as a code span of one line."""
    text = visible(text)[:MAX_LINE]
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{pad}{text or ' '}{pad}{fence}"


def cell(text: str) -> str:
    """Return ``text`` as a code span in a table."""
    return span(text).replace("|", "\\|")


def block(text: str, language: str = "") -> str:
    """Return ``text`` as a code block, bounded."""
    lines = _bounded(text.split("\n"))
    fence = "`" * max(3, _longest_run("\n".join(lines)) + 1)
    return "\n".join([fence + language, *lines, fence])


def _bounded(lines: Sequence[str]) -> list[str]:
    shown = [visible(line, keep="\t")[:MAX_LINE] for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        shown.append(f"… {counted(len(lines) - MAX_LINES, 'more line')}")
    return shown


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def html(text: str) -> str:
    """Return ``text`` as HTML in which Markdown finds nothing to mark up."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~:@#!])", lambda match: f"&#{ord(match[1])};", text)
