"""JUnit and KCIDB of a whole matrix: what its cells have of them, in one file each.

Both are put together cell by cell from the files in the cells' own folders, since all leaves of ten
thousand cells are too much for memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from toolkit.core.model.matrix import CellResult, MatrixResult
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Status
from toolkit.core.text import visible
from toolkit.report import artifacts, json_text, kcidb

_FAILURES = (Status.FAIL, Status.XPASS)
_SKIPS = (Status.SKIP, Status.XFAIL)
_SECTIONS = ("checkouts", "builds", "tests", "issues", "incidents")


def junit(result: MatrixResult, root: Path) -> Iterator[bytes]:
    """Yield ``junit.xml``: a suite for each cell, with its own suites in it.

    A cell that has no result gets a case with an error, as a run does that came to no verdict.
    """
    cells = list(result.cells)
    yield b"<?xml version='1.0' encoding='utf-8'?>\n"
    yield f"<testsuites {_attributes(result.title, cells, result.seconds)}>\n".encode()
    for cell in cells:
        yield f"<testsuite {_attributes(cell.name, [cell], cell.seconds)}>\n".encode()
        for element in _own_suites(cell, root) or [_verdict_case(cell)]:
            yield ElementTree.tostring(element, encoding="utf-8") + b"\n"
        yield b"</testsuite>\n"
    yield b"</testsuites>\n"


def _attributes(name: str, cells: list[CellResult], seconds: float) -> str:
    counts = {status: sum(cell.counts.get(status, 0) for cell in cells) for status in Status}
    failures = sum(counts[status] for status in _FAILURES)
    bad = sum(number for status, number in counts.items() if status.bad)
    judged = (Verdict.PASS, Verdict.FAIL)
    unjudged = sum(cell.verdict not in judged or not cell.folder for cell in cells)
    values = {
        "name": visible(name),
        "tests": sum(counts.values()) + unjudged,
        "failures": failures,
        "errors": bad - failures + unjudged,
        "skipped": sum(counts[status] for status in _SKIPS),
        "time": round(seconds, 3),
    }
    return " ".join(f"{key}={quoteattr(str(value))}" for key, value in values.items())


def _own_suites(cell: CellResult, root: Path) -> list[ElementTree.Element]:
    """Return the suites of the ``junit.xml`` of a cell's run; none where it has no such file."""
    if not cell.folder:
        return []
    try:
        # What the toolkit itself wrote, without entities.
        return list(ElementTree.parse(root / cell.folder / artifacts.JUNIT).getroot())  # noqa: S314
    except (OSError, ElementTree.ParseError):
        return []


def _verdict_case(cell: CellResult) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name="verdict", classname="toolkit.matrix")
    message = visible(cell.message, keep="\n\t")
    error = ElementTree.SubElement(
        case, "error", message=message.partition("\n")[0], type=cell.verdict.value
    )
    error.text = message
    return case


def kcidb_parts(result: MatrixResult, root: Path) -> Iterator[bytes]:
    """Yield ``kcidb.json``: the checkouts, builds and tests of all cells that have some."""

    def section(name: str) -> Iterator[Any]:
        seen: set[str] = set()
        for folder in dict.fromkeys(cell.folder for cell in result.cells if cell.folder):
            try:
                data = json.loads((root / folder / artifacts.KCIDB).read_bytes())
                entries = data.get(name, ())
            except (OSError, ValueError, AttributeError, RecursionError):
                continue
            for entry in entries:
                # An issue may be known in several cells; a test is of one alone.
                if name != "issues" or entry["id"] not in seen:
                    seen.add(entry["id"] if name == "issues" else "")
                    yield entry

    data: dict[str, Any] = {"version": kcidb.VERSION}
    data |= {name: section(name) for name in _SECTIONS}
    return json_text.parts(data, indent=1)
