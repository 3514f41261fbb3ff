"""The Jinja2 templates of the reports."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core.text import visible

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.bccache import Bucket

FOLDER = Path(__file__).parent / "templates"
_BYTECODE = Path(importlib.util.cache_from_source(str(FOLDER / "x.py")))
_SETTINGS = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]  # the bytecode's, too


def printed(value: object) -> str:
    """Return a value as text of several lines, without characters that something would obey."""
    return visible(str(value), keep="\n\t")


def embedded(kind: str, files: Iterable[Path]) -> dict[str, object]:
    """Return a style or script, made of files of the toolkit's own, for a page to hold.

    ``kind`` is its name in the template, and that with ``_hash`` what the page's policy names.
    """
    from markupsafe import Markup  # noqa: PLC0415 - as slow to import as jinja2

    text = "".join(file.read_text("utf-8") for file in files)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}  # noqa: S704 - see above


def in_page(value: object) -> object:
    """Return a value as text of several lines for a page, or markup as it is."""
    from markupsafe import Markup  # noqa: PLC0415

    return value if isinstance(value, Markup) else printed(value)


def load(
    name: str,
    finalize: Callable[[Any], object],
    helpers: Mapping[str, Any],
    folder: Path | None = None,
) -> Template:
    """Return a template in which ``helpers`` can be called and used as filters.

    It lies in ``folder``, by default in :data:`FOLDER`. Every value passes ``finalize`` before it
    is written, and in HTML is escaped after that.
    """
    import jinja2  # noqa: PLC0415 - slow to import, and needed at the end of a run only

    class Bytecode(jinja2.FileSystemBytecodeCache):
        """Compiled templates, kept beside Python's own where that is possible.

        To compile them takes longer than all the rest of a report.
        """

        def load_bytecode(self, bucket: Bucket) -> None:
            with contextlib.suppress(OSError):
                super().load_bytecode(bucket)

        def dump_bytecode(self, bucket: Bucket) -> None:
            if sys.dont_write_bytecode:
                return
            with contextlib.suppress(OSError):
                Path(self.directory).mkdir(parents=True, exist_ok=True)
                super().dump_bytecode(bucket)

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder or FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
        bytecode_cache=Bytecode(str(_BYTECODE.parent), f"%s.{_SETTINGS}"),
    )
    environment.globals.update(helpers)
    environment.filters.update(
        {name: helper for name, helper in helpers.items() if callable(helper)}
    )
    return environment.get_template(name)
