"""The Jinja2 templates of the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core.text import visible

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent / "templates"


def printed(value: object) -> str:
    """Return a value as text of several lines, without characters that something would obey."""
    return visible(str(value), keep="\n\t")


def load(name: str, finalize: Callable[[Any], object], helpers: Mapping[str, Any]) -> Template:
    """Return a template in which ``helpers`` can be called and used as filters.

    Every value passes ``finalize`` before it is written, and in HTML is escaped after that.
    """
    import jinja2  # noqa: PLC0415 - slow to import, and needed at the end of a run only

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.globals.update(helpers)
    environment.filters.update(
        {name: helper for name, helper in helpers.items() if callable(helper)}
    )
    return environment.get_template(name)
