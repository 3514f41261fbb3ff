"""What several runs ran of one series together: runs on two architectures, or with two profiles.

A line counts as run where any of the runs ran it, and as explained where none did and one of them
has an explanation. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from toolkit.core.errors import UserError
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun
from toolkit.core.text import counted
from toolkit.testing import coverage


@dataclass(frozen=True, slots=True)
class Part:
    """One run's coverage. ``label`` tells its programs from those of the other runs."""

    label: str
    series: str
    subjects: tuple[str, ...]  # of all patches
    coverage: Coverage


def merge(parts: Sequence[Part]) -> Coverage:
    """Return the coverage of all parts together, its programs named ``PROGRAM on LABEL``.

    Raises :class:`UserError` where the parts are not of one and the same series, or where a result
    was too large to keep all of its lines.
    """
    first = parts[0]
    for part in parts:
        if (part.series, part.subjects) != (first.series, first.subjects):
            raise UserError(
                f"{first.label} is a run of {_series(first)}, and {part.label} one of "
                f"{_series(part)}",
                hint="only runs of the same patches can be merged",
            )
        if tuple(coverage.totals(part.subjects, part.coverage.hunks)) != part.coverage.patches:
            raise UserError(f"{part.label}: its result does not have all lines of the series")
    hunks = _hunks(parts)
    built = {hunk.file for hunk in hunks}
    unbuilt = set.intersection(*(set(part.coverage.unbuilt) for part in parts))
    return Coverage(
        programs=tuple(_labelled(parts, [part.coverage.programs for part in parts])),
        patches=tuple(coverage.totals(first.subjects, hunks)),
        hunks=tuple(hunks),
        unbuilt=tuple(sorted(unbuilt - built)),
        lost=tuple(f"{part.label}: {why}" for part in parts for why in part.coverage.lost),
    )


def _series(part: Part) -> str:
    return f"{part.series or 'no series'} ({counted(len(part.subjects), 'patch', 'patches')})"


def _labelled(parts: Sequence[Part], names: Sequence[Sequence[str]]) -> Iterator[str]:
    for part, of_part in zip(parts, names, strict=True):
        yield from (f"{name} on {part.label}" for name in of_part)


def _hunks(parts: Sequence[Part]) -> list[HunkRun]:
    """Return each hunk of any part once, by patch, in the order in which they come first."""
    merged: dict[tuple[int, str, str], HunkRun] = {}
    before = 0  # programs of the parts before
    for part in parts:
        for hunk in part.coverage.hunks:
            own = tuple(_shifted(line, before) for line in hunk.lines)
            key = (hunk.patch, hunk.file, hunk.lines[0].text)
            other = merged.get(key)
            lines = _joined(other.lines, own, part.label, hunk) if other else own
            merged[key] = HunkRun(hunk.patch, hunk.file, lines)
        before += len(part.coverage.programs)
    return sorted(merged.values(), key=lambda hunk: hunk.patch)


def _shifted(line: LineRun, before: int) -> LineRun:
    return replace(line, ran=tuple(program + before for program in line.ran))


def _joined(
    one: Sequence[LineRun], other: Sequence[LineRun], label: str, hunk: HunkRun
) -> tuple[LineRun, ...]:
    if [line.text for line in one] != [line.text for line in other]:
        raise UserError(
            f"{label}: patch {hunk.patch} is another one there, in {hunk.file}",
            hint="only runs of the same patches can be merged",
        )
    return tuple(map(_joined_line, one, other))


def _joined_line(one: LineRun, other: LineRun) -> LineRun:
    ran = one.ran + other.ran
    return LineRun(
        one.text,
        one.number or other.number,
        ran,
        "" if ran else one.explained or other.explained,
    )
