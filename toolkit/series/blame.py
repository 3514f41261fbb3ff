"""Which hunk of a series a complaint points into: the compiler's, or the kernel's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from toolkit.core.model.series import Blame, PatchedTree
from toolkit.series.annotate import Annotations, Place

MAX_BLAMES = 10
CONTEXT = 6  # lines of a hunk shown on either side
_PLACE = re.compile(r"([A-Za-z0-9_./+-]+\.[A-Za-z]{1,3}):(\d{1,7})(?::\d+)?\b")


def find(said: Iterable[str], tree: PatchedTree | None) -> tuple[Blame, ...]:
    """Return the hunks that ``said`` points into, each line of the tree once, in order.

    ``said`` is a compiler's output or a kernel's report; lines that name no file of the series,
    or a line that the series did not write, give nothing.
    """
    if tree is None or tree.series is None:
        return ()
    origins = Annotations(tree)
    blames: dict[tuple[str, int], Blame] = {}
    for line in said:
        for match in _PLACE.finditer(line):
            file = _file(match[1], tree)
            if not file or (file, int(match[2])) in blames or len(blames) >= MAX_BLAMES:
                continue
            number = int(match[2])
            place = origins.of(file, number)
            if place:
                shortened = line[: match.start(1)] + file + line[match.end(1) :]
                blames[file, number] = _blame(shortened, file, number, place, tree)
    return tuple(blames.values())


def _file(named: str, tree: PatchedTree) -> str:
    """Return the file of the series that a compiler's path means, however it begins.

    None where the path is that of another file whose name ends alike: tools/lib/x.c is not lib/x.c.
    """
    parts = named.split("/")
    for start in range(len(parts)):
        rest = parts[start:]
        if (tail := "/".join(rest)) in tree.files:
            return tail
        if not {"", ".", ".."} & set(rest) and (tree.base.path / tail).is_file():
            return ""
    return ""


def _blame(said: str, file: str, number: int, place: Place, tree: PatchedTree) -> Blame:
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
