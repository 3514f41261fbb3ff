"""Which hunk of a series a complaint points into: the compiler's, or the kernel's own.

Pure. Line numbers are those of the patched tree, so they are followed back through the patches,
last to first, to the one that wrote the line. git may have applied a hunk at an offset, so what a
patch says of a line is believed only where the text is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit import patchfile
from toolkit.evidence import Blame
from toolkit.model import PatchedTree, PatchSeries

MAX_BLAMES = 10
CONTEXT = 6  # lines of a hunk shown on either side
_PLACE = re.compile(r"([A-Za-z0-9_./+-]+\.[A-Za-z]{1,3}):(\d{1,7})(?::\d+)?\b")


@dataclass(frozen=True, slots=True)
class _Place:
    patch: int
    hunk: patchfile.Hunk
    at: int  # index in the hunk's text


def find(said: Iterable[str], tree: PatchedTree | None) -> tuple[Blame, ...]:
    """Return the hunks that ``said`` points into, each line of the tree once, in order.

    ``said`` is a compiler's output or a kernel's report; lines that name no file of the series,
    or a line that the series did not write, give nothing.
    """
    if tree is None or tree.series is None:
        return ()
    found: dict[tuple[str, int], Blame] = {}
    for line in said:
        for match in _PLACE.finditer(line):
            file = _file(match[1], tree.files)
            if not file or (file, int(match[2])) in found or len(found) >= MAX_BLAMES:
                continue
            number = int(match[2])
            place = _origin(tree, tree.series, file, number)
            if place:
                said = line[: match.start(1)] + file + line[match.end(1) :]
                found[file, number] = _blame(said, file, number, place, tree)
    return tuple(found.values())


def _file(named: str, files: Mapping[str, object]) -> str:
    """Return the file of the series that a compiler's path means, however it begins."""
    parts = named.split("/")
    for start in range(len(parts)):
        if (tail := "/".join(parts[start:])) in files:
            return tail
    return ""


def _origin(tree: PatchedTree, series: PatchSeries, file: str, number: int) -> _Place | None:
    """Return the patch and hunk that wrote line ``number`` of ``file``."""
    content = tree.files[file].content
    lines = content.split(b"\n") if content is not None else []
    if not 1 <= number <= len(lines):
        return None
    text, at = lines[number - 1], number
    for index in range(len(series.patches), 0, -1):
        for section in patchfile.sections(series.patches[index - 1]):
            if file not in section.paths:
                continue
            placed, at = _through(section.hunks, at)
            if placed and placed[0].text[placed[1]] == b"+" + text:
                return _Place(index, *placed)
    return _by_text(series, file, text)


def _through(
    hunks: Sequence[patchfile.Hunk], number: int
) -> tuple[tuple[patchfile.Hunk, int] | None, int]:
    """Follow a line back through one patch: the hunk line that added it, or its number before."""
    shift = 0  # how many lines the hunks above add
    for hunk in hunks:
        # Of a hunk without old lines the header counts the line above it.
        old = hunk.start + all(line[:1] in (b"+", b"\\") for line in hunk.text[1:])
        new = old + shift
        for index, line in enumerate(hunk.text[1:], 1):
            sign = line[:1]
            if sign == b"\\":
                continue
            if new == number and sign != b"-":
                return ((hunk, index), number) if sign == b"+" else (None, old)
            old += sign != b"+"
            new += sign != b"-"
        if number < new:
            break
        shift = new - old
    return None, number - shift


def _by_text(series: PatchSeries, file: str, text: bytes) -> _Place | None:
    """Return the only added line of the series with this text, if there is just one."""
    if len(text.strip()) < 3:
        return None
    found = [
        _Place(number, hunk, index)
        for number, patch in enumerate(series.patches, 1)
        for section in patchfile.sections(patch)
        if file in section.paths
        for hunk in section.hunks
        for index, line in enumerate(hunk.text)
        if line == b"+" + text
    ]
    return found[0] if len(found) == 1 else None


def _blame(said: str, file: str, number: int, place: _Place, tree: PatchedTree) -> Blame:
    assert tree.series is not None
    first = max(1, place.at - CONTEXT)
    shown = place.hunk.text[first : place.at + CONTEXT + 1]
    header = place.hunk.text[0]
    return Blame(
        said=said,
        file=file,
        line=number,
        patch=place.patch,
        subject=tree.series.patches[place.patch - 1].subject,
        hunk=tuple(line.decode(errors="replace") for line in (header, *shown)),
        at=place.at - first + 1,
    )
