"""What reports show of the lines that a series adds: how many ran, and which did not.

Pure. Text from outside passes :func:`~toolkit.core.text.visible` where a report is rendered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.core.text import counted
from toolkit.report.wording import percent

CONTEXT = 3  # lines shown around those that did not run
MAX_EXCERPTS = 100
MAX_HUNK_LINES = 8000


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of a hunk as a report shows it."""

    text: str  # with its sign
    programs: str  # how many ran it; "" for a line without code
    unrun: bool  # it has code, and nothing ran it
    explained: bool
    explanation: str  # of this line and of those that follow it with the same one


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a hunk that follow each other, below the hunk's header."""

    patch: int
    file: str
    header: CodeLine
    lines: tuple[CodeLine, ...]


@dataclass(frozen=True, slots=True)
class PatchCoverage:
    """The lines with code that one patch wrote, and the hunks that they are in."""

    patch: int
    subject: str
    lines: int
    ran: int
    explained: int
    percent_run: float
    percent_explained: float  # run or explained
    hunks: tuple[Excerpt, ...]


@dataclass(frozen=True, slots=True)
class CoverageView:
    """Which lines of the series ran. ``excerpts`` surround those that did not."""

    headline: str
    programs: int
    patches: tuple[PatchCoverage, ...]
    excerpts: tuple[Excerpt, ...]
    more_excerpts: bool
    cut: bool  # whether hunks are missing from ``patches``, as there are too many lines
    unbuilt: tuple[str, ...]  # C files of the series that are not in this kernel
    lost: tuple[str, ...]  # programs without counters, and why

    def first_lines(self, limit: int) -> list[Excerpt]:
        """Return the first excerpts, which have ``limit`` lines together, the last one cut."""
        shown: list[Excerpt] = []
        for part in self.excerpts:
            if limit <= 0:
                break
            shown.append(replace(part, lines=part.lines[:limit]))
            limit -= len(part.lines)
        return shown


def of(coverage: Coverage) -> CoverageView:
    """Return what reports show of ``coverage``, bounded."""
    parts = list(itertools.islice(excerpts(coverage.hunks), MAX_EXCERPTS + 1))
    left = MAX_HUNK_LINES
    patches = []
    for row in coverage.patches:
        hunks = []
        for hunk in coverage.hunks:
            if hunk.patch == row.patch and left > 0:
                hunks.append(_excerpt(hunk, 1, left))
                left -= len(hunk.lines[:left])
        patches.append(
            PatchCoverage(
                *(row.patch, row.subject, row.lines, row.ran, row.explained),
                percent_run=_share(row),
                percent_explained=_share(row, explained=True),
                hunks=tuple(hunks),
            )
        )
    return CoverageView(
        headline=headline(coverage),
        programs=len(coverage.programs),
        patches=tuple(patches),
        excerpts=tuple(parts[:MAX_EXCERPTS]),
        more_excerpts=len(parts) > MAX_EXCERPTS,
        cut=left <= 0,
        unbuilt=coverage.unbuilt,
        lost=coverage.lost,
    )


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


def headline(coverage: Coverage) -> str:
    """Return the whole in a sentence."""
    row = total(coverage)
    if not row.lines:
        return "the series adds no line with code to this kernel"
    text = f"{percent(_share(row))} of the {_lines(row)} were run"
    if row.explained:
        text += f", {percent(_share(row, explained=True))} run or explained"
    return text


def below(coverage: Coverage) -> str:
    """Return what is wrong when fewer lines ran than were asked for; nothing when enough did."""
    row = total(coverage)
    if coverage.wanted is None or _share(row) >= coverage.wanted:
        return ""
    return (
        f"the tests ran {percent(_share(row))} of the {_lines(row)}, "
        f"and {coverage.wanted:g} % were asked for"
    )


def _lines(row: PatchRun) -> str:
    return f"{counted(row.lines, 'line')} that the series adds"


def _share(row: PatchRun, *, explained: bool = False) -> float:
    """Return the percentage of a patch's lines that ran; with ``explained``, or are explained."""
    if not row.lines:
        return 100.0
    return 100.0 * (row.ran + (row.explained if explained else 0)) / row.lines


def is_unrun(line: LineRun) -> bool:
    """Return whether a line has code that nothing ran."""
    return bool(line.number) and not line.ran


def excerpts(hunks: Sequence[HunkRun], context: int = CONTEXT) -> Iterator[Excerpt]:
    """Yield what surrounds the lines that did not run; neighbours are shown together."""
    for hunk in hunks:
        unrun = [index for index, line in enumerate(hunk.lines) if is_unrun(line)]
        while unrun:
            first = last = unrun.pop(0)
            while unrun and unrun[0] - last <= 2 * context + 1:
                last = unrun.pop(0)
            yield _excerpt(hunk, max(1, first - context), last + context + 1)


def _excerpt(hunk: HunkRun, first: int, end: int) -> Excerpt:
    header, *lines = _code_lines([hunk.lines[0], *hunk.lines[first:end]])
    return Excerpt(hunk.patch, hunk.file, header, tuple(lines))


def _code_lines(lines: Sequence[LineRun]) -> Iterator[CodeLine]:
    explanation = ""
    for line in lines:
        yield CodeLine(
            text=line.text,
            programs=str(len(line.ran)) if line.number else "",
            unrun=is_unrun(line),
            explained=bool(line.explained),
            explanation=line.explained if line.explained != explanation else "",
        )
        explanation = line.explained if line.number else explanation
