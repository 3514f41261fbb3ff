"""The cells of a matrix: the combinations of its axes, less some, with some more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from toolkit.core.errors import UserError
from toolkit.core.model.matrix import AXES, Cell
from toolkit.core.model.series import KnownFailure
from toolkit.formats.manifest import nearest
from toolkit.formats.yamlfile import Location
from toolkit.matrix import manifest
from toolkit.matrix.manifest import Match, MatrixManifest, Settings
from toolkit.workflow.request import DEFAULT_KERNEL

MAX_CELLS = 50_000
_NONE = "none"  # the word for no series and no profile
_MAY_BE_NONE = ("series", "profile")
_DEFAULTS = {
    "series": _NONE,
    "kernel": DEFAULT_KERNEL,
    "config": "tiny",
    "profile": _NONE,
    "toolchain": "gcc",
    "arch": "x86_64",
    "image": "minimal",
    "suite": "",
}

Where = Callable[[Location], str]  # file and line of a place in the file


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a file asks for."""

    title: str
    cells: tuple[Cell, ...]
    shard_seconds: float
    values: Mapping[tuple[str, str], str]  # of each axis, and the file and line that name it


def load(path: Path) -> Matrix:
    """Return what the file of a matrix asks for.

    Raises :class:`UserError` for whatever is wrong with the file, and where it has no cell.
    """
    asked, file = manifest.read(path)

    def where(place: Location) -> str:
        return f"{file.origin}:{file.line(place)}"

    cells = expand(asked, where)
    return Matrix(asked.title, cells, asked.shard_seconds, dict(_named(asked, where)))


def _named(asked: MatrixManifest, where: Where) -> Iterator[tuple[tuple[str, str], str]]:
    for number, entry in enumerate(asked.include):
        for axis in AXES:
            yield (axis, getattr(entry, axis)), where(("include", number, axis))
    for axis in AXES:
        for number, value in enumerate(getattr(asked.axes, axis)):
            yield (axis, value), where(("axes", axis, number))


def expand(asked: MatrixManifest, where: Where) -> tuple[Cell, ...]:
    """Return the cells in the order of the axes, those that are included last.

    Raises :class:`UserError` where there is none or too many, for a cell that is there twice or is
    included and excluded, and for what excludes or matches none.
    """
    cells = _combinations(asked, where)
    more = _included(asked, where)
    gone: set[int] = set()
    for number, match in enumerate(asked.exclude):
        gone |= _picked(match, cells, ("exclude", number), where)
    kept = [cell for number, cell in enumerate(cells) if number not in gone]
    kept += _not_there_yet(more, kept, where)
    if not kept:
        raise UserError(
            f"{where(('exclude',))}: no cell is left",
            hint="leave out some of `exclude`, or add values to the axes",
        )
    for number, settings in enumerate(asked.settings):
        kept = _with(settings, kept, ("settings", number), where)
    return tuple(kept)


def shown(axis: str, value: str) -> str:
    """Return the value of an axis in words."""
    return value or ("as the series says" if axis == "suite" else _NONE)


def label(cell: Cell, axes: Sequence[str]) -> str:
    """Return a cell's values of these axes in one line; of series and kernel without any."""
    return ", ".join(shown(axis, getattr(cell, axis)) for axis in axes or ("series", "kernel"))


def varying(cells: Sequence[Cell]) -> list[str]:
    """Return the axes in which the cells differ."""
    return [axis for axis in AXES if len({getattr(cell, axis) for cell in cells}) > 1]


def _combinations(asked: MatrixManifest, where: Where) -> list[Cell]:
    values = {axis: getattr(asked.axes, axis) or (_DEFAULTS[axis],) for axis in AXES}
    count = math.prod(map(len, values.values()))
    if count > MAX_CELLS:
        raise UserError(
            f"{where(('axes',))}: the axes have {count} combinations, and a matrix at most "
            f"{MAX_CELLS} cells",
            hint="make several matrices of it",
        )
    return [
        _cell(dict(zip(values, each, strict=True))) for each in itertools.product(*values.values())
    ]


def _cell(values: Mapping[str, str]) -> Cell:
    plain: dict[str, Any] = {
        axis: "" if value == _NONE and axis in _MAY_BE_NONE else value
        for axis, value in values.items()
    }
    return Cell(**plain)


def _included(asked: MatrixManifest, where: Where) -> list[Cell]:
    found = []
    for number, entry in enumerate(asked.include):
        cell = _cell({axis: getattr(entry, axis) or _DEFAULTS[axis] for axis in AXES})
        for other, match in enumerate(asked.exclude):
            if _fits(match, cell):
                raise UserError(
                    f"{where(('include', number))}: this cell is included, and excluded by "
                    f"{where(('exclude', other))}",
                    hint="leave out one of the two",
                )
        found.append(cell)
    return found


def _not_there_yet(more: Sequence[Cell], cells: Sequence[Cell], where: Where) -> Sequence[Cell]:
    there = {tuple(cell.axes.values()) for cell in cells}
    for number, cell in enumerate(more):
        key = tuple(cell.axes.values())
        if key in there:
            place = where(("include", number))
            raise UserError(f"{place}: this cell is there already", hint="leave it out")
        there.add(key)
    return more


def _fits(match: Match, cell: Cell) -> bool:
    return all(
        any(fnmatchcase(getattr(cell, axis) or _NONE, glob) for glob in globs)
        for axis, globs in match.globs.items()
    )


def _picked(match: Match, cells: Sequence[Cell], place: Location, where: Where) -> set[int]:
    """Return the indices of the cells that a match picks; raise :class:`UserError` for none."""
    picked = {number for number, cell in enumerate(cells) if _fits(match, cell)}
    if picked:
        return picked
    for axis, globs in match.globs.items():
        values = sorted({getattr(cell, axis) or _NONE for cell in cells})
        for glob in globs:
            if not any(fnmatchcase(value, glob) for value in values):
                near = nearest(glob, values)
                guess = f"did you mean {near[0]}? " if near else ""
                raise UserError(
                    f"{where((*place, axis))}: no cell has the {axis} {glob!r}",
                    hint=f"{guess}there is: {', '.join(filter(None, values[:20])) or 'none'}",
                )
    raise UserError(
        f"{where(place)}: no cell fits all that this names", hint="leave it out, or mend it"
    )


def _with(settings: Settings, cells: Sequence[Cell], place: Location, where: Where) -> list[Cell]:
    match = settings.match
    picked = _picked(match, cells, (*place, "match"), where) if match else range(len(cells))
    changes: dict[str, Any] = {
        field: value
        for field, value in (
            ("slow", settings.slow),
            ("repeat", settings.repeat),
            ("baseline", settings.baseline),
            ("accel", settings.accel),
            ("seconds", settings.deadline),
        )
        if value is not None
    }
    known = tuple(KnownFailure(each.test, each.reason) for each in settings.known_failures)
    return [
        replace(cell, **changes, known_failures=(*cell.known_failures, *known))
        if number in picked
        else cell
        for number, cell in enumerate(cells)
    ]


def settings(cell: Cell) -> str:
    """Return how a cell is tested, where that is not as by default, in words."""
    known = len(cell.known_failures)
    words = (
        "slow" * cell.slow,
        f"repeat {cell.repeat}" * (cell.repeat > 1),
        "baseline" * cell.baseline,
        cell.accel.replace("auto", ""),
        f"{known} known failure{'s' * (known > 1)}" * bool(known),
    )
    return ", ".join(filter(None, words))
