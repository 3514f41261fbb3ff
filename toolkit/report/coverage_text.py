"""What every report says of the lines that a series adds: how many ran, and which did not.

Pure functions over :class:`~toolkit.core.model.coverage.Coverage`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun

CONTEXT = 3  # lines shown around those that did not run
NOT_RUN = "-"  # in the column that else has how many programs ran a line


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a hunk that follow each other, with one that did not run among them."""

    hunk: HunkRun
    first: int  # index in the hunk's lines
    lines: tuple[LineRun, ...]


def total(coverage: Coverage) -> PatchRun:
    """Return the sums over all patches."""
    rows = coverage.patches
    return PatchRun(
        0,
        "all patches",
        sum(row.lines for row in rows),
        sum(row.ran for row in rows),
        sum(row.explained for row in rows),
    )


def share(row: PatchRun, *, explained: bool = False) -> float:
    """Return the percentage of a patch's lines that ran; with ``explained``, or are explained."""
    if not row.lines:
        return 100.0
    return 100.0 * (row.ran + (row.explained if explained else 0)) / row.lines


def percent(number: float) -> str:
    """Return a percentage in words. It is never rounded up: 100.0 % means all."""
    return f"{math.floor(number * 10) / 10:.1f} %"


def headline(coverage: Coverage) -> str:
    """Return the whole in a sentence."""
    row = total(coverage)
    if not row.lines:
        return "the series adds no line with code to this kernel"
    said = f"{percent(share(row))} of the {row.lines} lines that the series adds were run"
    if row.explained:
        said += f", {percent(share(row, explained=True))} run or explained"
    return said


def below(coverage: Coverage) -> str:
    """Return what is wrong when fewer lines ran than were asked for; nothing when enough did."""
    row = total(coverage)
    if coverage.wanted is None or share(row) >= coverage.wanted:
        return ""
    return (
        f"the tests ran {percent(share(row))} of the {row.lines} lines that the series adds, "
        f"and {coverage.wanted:g} % were asked for"
    )


def mark(line: LineRun) -> str:
    """Return how many programs ran a line, or that none did; nothing for one without code."""
    if not line.number:
        return ""
    return str(len(line.ran)) if line.ran else NOT_RUN


def is_unrun(line: LineRun) -> bool:
    """Return whether a line has code that nothing ran."""
    return bool(line.number) and not line.ran


def explanations(lines: Iterable[LineRun]) -> Iterator[tuple[LineRun, str]]:
    """Yield each line with its explanation, which of several that follow each other one has."""
    said = ""
    for line in lines:
        yield line, line.explained if line.explained != said else ""
        said = line.explained if line.number else said


def excerpts(hunks: Sequence[HunkRun], context: int = CONTEXT) -> Iterator[Excerpt]:
    """Yield what surrounds the lines that did not run; neighbours are shown together."""
    for hunk in hunks:
        wanted = [index for index, line in enumerate(hunk.lines) if is_unrun(line)]
        while wanted:
            first = last = wanted.pop(0)
            while wanted and wanted[0] - last <= 2 * context + 1:
                last = wanted.pop(0)
            first, last = max(1, first - context), last + context + 1
            yield Excerpt(hunk, first, hunk.lines[first:last])


def told(coverage: Coverage, limit: int) -> Iterator[tuple[str, str, int]]:
    """Yield lines for a terminal, each with its style and indentation; ``limit`` are of hunks."""
    yield "", "", 0
    yield f"coverage: {headline(coverage)}", "bold", 2
    for row in coverage.patches:
        numbers = f"{percent(share(row)):>7}  {row.ran:>4}/{row.lines:<4}"
        yield f"{numbers} patch {row.patch}: {row.subject}", "", 4
    for name in coverage.unbuilt:
        yield f"not in this kernel: {name}", "", 4
    for said in coverage.lost:
        yield f"without counters: {said}", "yellow", 4
    for part in excerpts(coverage.hunks):
        if limit <= 0:
            yield "… and more, all in report.html", "", 4
            return
        yield "", "", 0
        yield f"patch {part.hunk.patch}, {part.hunk.file}", "bold", 4
        for line, why in explanations(part.lines[:limit]):
            style = "yellow" if is_unrun(line) else ""
            yield f"{mark(line):>4} {line.text.expandtabs(4)}", style, 4
            if why:
                yield f"explained: {why}", "", 9
        limit -= len(part.lines)
