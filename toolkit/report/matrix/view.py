"""What the reports show of a matrix, worked out once; each report only gives it a form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.core.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_KERNEL,
    EXIT_OK,
    EXIT_USER,
)
from toolkit.core.model.matrix import AXES, Cell, CellResult, MatrixResult
from toolkit.core.model.testing import Status
from toolkit.report import wording

ROWS, COLUMNS = "kernel", "series"
_NONE = {"series": "unpatched", "suite": "the series' suites"}
_HEADINGS = {  # the worst first
    EXIT_KERNEL: "failed",
    EXIT_USER: "cannot be done as asked",
    EXIT_INFRASTRUCTURE: "not judged, since a host failed",
    EXIT_INTERRUPTED: "not run",
    EXIT_OK: "passed",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell, as it stands in the grid."""

    result: CellResult
    label: str  # its values of the axes that are neither row nor column, where they differ
    word: str
    tone: str  # good, bad or warn: of the host's or the caller's doing
    tally: str
    change: str
    link: str  # to its report, relative to the matrix's folder; "" where it has none


@dataclass(frozen=True, slots=True)
class MatrixView:
    """A matrix as its readers see it."""

    result: MatrixResult
    rows: Sequence[str]
    columns: Sequence[str]
    boxes: Mapping[tuple[str, str], Sequence[Entry]]  # by row and column
    entries: Sequence[Entry]
    headline: str
    judged_bad: Sequence[Entry]  # what the kernel or the caller is at fault for
    unjudged: Sequence[Entry]  # where the infrastructure failed

    @property
    def passed(self) -> bool:
        """Whether all cells have."""
        return self.result.exit_code == EXIT_OK


def of(result: MatrixResult) -> MatrixView:
    """Return what reports show of ``result``."""
    cells = [each.cell for each in result.cells]
    extra = [axis for axis in _varying(cells) if axis not in (ROWS, COLUMNS)]
    entries = [_entry(each, extra) for each in result.cells]
    boxes: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        cell = entry.result.cell
        boxes.setdefault((shown(cell, ROWS), shown(cell, COLUMNS)), []).append(entry)
    unjudged = [each for each in entries if each.result.exit_code == EXIT_INFRASTRUCTURE]
    others = (EXIT_OK, EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED)
    return MatrixView(
        result=result,
        rows=list(dict.fromkeys(shown(cell, ROWS) for cell in cells)),
        columns=list(dict.fromkeys(shown(cell, COLUMNS) for cell in cells)),
        boxes=boxes,
        entries=entries,
        headline=headline([each.exit_code for each in result.cells]),
        judged_bad=[each for each in entries if each.result.exit_code not in others],
        unjudged=unjudged,
    )


def headline(codes: Sequence[int]) -> str:
    """Return in words how cells with these exit codes ended: "1 failed, 11 passed"."""
    counted = Counter(codes)
    return ", ".join(
        f"{counted[code]} {words}" for code, words in _HEADINGS.items() if counted[code]
    )


def shown(cell: Cell, axis: str) -> str:
    """Return a cell's value of an axis in words."""
    return getattr(cell, axis) or _NONE.get(axis, "none")


def in_words(result: CellResult) -> str:
    """Return how a cell ended, in one line: its verdict, its counts, what changed, or why."""
    entry = _entry(result, ())
    why = "" if result.counts else result.message.partition("\n")[0]
    facts = ", ".join(filter(None, (entry.tally, entry.change, why)))
    return f"{entry.word.upper()}: {facts}" if facts else entry.word.upper()


def full_label(cell: Cell) -> str:
    """Return what a cell is, in one line."""
    plain = {"config": "tiny", "toolchain": "gcc", "arch": "x86_64", "image": "minimal"}
    extras = [
        getattr(cell, axis)
        for axis in AXES
        if axis not in (ROWS, COLUMNS) and getattr(cell, axis) not in ("", plain.get(axis))
    ]
    return ", ".join([f"{shown(cell, COLUMNS)} on {shown(cell, ROWS)}", *extras])


def _varying(cells: Sequence[Cell]) -> list[str]:
    return [axis for axis in AXES if len({getattr(cell, axis) for cell in cells}) > 1]


def _entry(result: CellResult, extra: Sequence[str]) -> Entry:
    tones = {EXIT_OK: "good", EXIT_KERNEL: "bad"}
    counts = {status: result.counts[status] for status in Status if status in result.counts}
    return Entry(
        result=result,
        label=", ".join(shown(result.cell, axis) for axis in extra if _says(result.cell, axis)),
        word=result.verdict.value.replace("-", " "),
        tone=tones.get(result.exit_code, "warn"),
        tally=wording.tally(counts),
        change=_change(result),
        link=f"{result.folder}/report.html" if result.folder else "",
    )


def _says(cell: Cell, axis: str) -> bool:
    """Whether a value tells a reader something: that there is no profile does not."""
    return bool(getattr(cell, axis)) or axis in _NONE


def _change(result: CellResult) -> str:
    change = result.change
    if change is None:
        return ""
    words = []
    if change.verdict is not result.verdict:
        words.append(f"was {change.verdict.value.replace('-', ' ')}")
    if change.broken:
        words.append(f"{len(change.broken)} newly bad")
    if change.mended:
        words.append(f"{len(change.mended)} mended")
    return ", ".join(words)
