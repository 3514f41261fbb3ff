"""``index.html`` of a matrix: a grid of kernels and series, each cell with a way to its report.

Hostile text is kept harmless as in :mod:`toolkit.report.html_page`; the page runs no script.
"""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from toolkit.report import artifacts, templates
from toolkit.report.matrix import document
from toolkit.report.matrix.view import MatrixView, full_label
from toolkit.report.wording import duration

if TYPE_CHECKING:
    from jinja2 import Template

_LIMITS = {
    "MAX_FAILURES": 200,  # cells that are shown in full
    "MAX_LEAVES": 30,
    "MAX_MESSAGE": 4000,  # characters
    "FILES": (document.FILE, artifacts.JUNIT, artifacts.KCIDB, artifacts.SUMMARY),
}
_STYLES = ("palette.css", "report.css", "matrix.css")


def render(view: MatrixView) -> bytes:
    """Return the page."""
    return _template().render(view=view).encode()


@functools.cache
def _template() -> Template:
    helpers: dict[str, Any] = {
        "duration": duration,
        "label": full_label,
        "link": quote,
        "repeated": shlex.join,
        **_LIMITS,
        **templates.embedded("style", (templates.FOLDER / name for name in _STYLES)),
    }
    return templates.load("matrix.html.j2", templates.in_page, helpers)
