"""Which patch of a series wrote a line of the patched tree, and in which hunk.

The patches are gone through as git applied them, hunk by hunk, with a note at each line of who
wrote it. git may have found a hunk's place at an offset; what comes out is believed of a file only
where it is what git made of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.core.model.series import PatchedTree
from toolkit.formats import patchfile


@dataclass(frozen=True, slots=True)
class Place:
    """A line in a patch: which of the series, counted from 1, its hunk, and where in its text."""

    patch: int
    hunk: patchfile.Hunk
    at: int


_Line = tuple[bytes, Place | None]  # a line of a file, and who wrote it


class Annotations:
    """Knows of every line of the files that a series touches; works when first asked."""

    def __init__(self, tree: PatchedTree) -> None:
        self._tree = tree

    def of(self, file: str, number: int) -> Place | None:
        """Return the place that wrote line ``number``, counted from 1; None: it was there before.

        None, too, for a file or a line that is not there.
        """
        lines = self._files.get(file, ())
        return lines[number - 1][1] if 1 <= number <= len(lines) else None

    @functools.cached_property
    def _files(self) -> dict[str, Sequence[_Line]]:
        files: dict[str, list[_Line]] = {}
        patches = self._tree.series.patches if self._tree.series else ()
        for number, patch in enumerate(patches, 1):
            for section in patchfile.sections(patch):
                # A renamed file has two names; its lines go with it.
                old, new = section.paths[0], section.paths[-1]
                before = files.get(old)
                if before is None:
                    before = [(text, None) for text in _lines(self._base(old))]
                files[new] = _after(before, section.hunks, number)
        return {
            name: lines
            for name, lines in files.items()
            if name in self._tree.files
            and [text for text, _ in lines] == _lines(self._tree.files[name].content)
        }

    def _base(self, file: str) -> bytes:
        try:
            return (self._tree.base.path / file).read_bytes()
        except OSError:
            return b""


def _lines(content: bytes | None) -> list[bytes]:
    lines = (content or b"").split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _after(lines: list[_Line], hunks: Iterable[patchfile.Hunk], patch: int) -> list[_Line]:
    """Return a file's lines after a patch; a hunk that fits nowhere is left out."""
    lines = list(lines)
    shift = 0  # what the hunks above add, and the offset at which they were found
    for hunk in hunks:
        old = [line[1:] for line in hunk.text[1:] if line[:1] in (b" ", b"", b"-")]
        # Of a hunk without old lines the header counts the line above it.
        wanted = hunk.start - (1 if old else 0) + shift
        at = _find([text for text, _ in lines], old, wanted)
        if at is not None:
            new = list(_written(lines[at : at + len(old)], hunk, patch))
            lines[at : at + len(old)] = new
            shift += at - wanted + len(new) - len(old)
    return lines


def _find(texts: list[bytes], old: list[bytes], wanted: int) -> int | None:
    """Return where ``old`` stands, as near to ``wanted`` as can be."""
    for away in range(len(texts) + 1):
        for at in (wanted - away, wanted + away):
            if 0 <= at <= len(texts) and texts[at : at + len(old)] == old:
                return at
    return None


def _written(old: Sequence[_Line], hunk: patchfile.Hunk, patch: int) -> Iterator[_Line]:
    left = iter(old)
    for index, line in enumerate(hunk.text[1:], 1):
        sign = line[:1]
        if sign == b"+":
            yield line[1:], Place(patch, hunk, index)
        elif sign in (b" ", b""):
            yield next(left)
        elif sign == b"-":
            next(left)
