"""Whether there is what a matrix names: looked at before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolkit.core import arch
from toolkit.core.errors import UserError
from toolkit.core.model.matrix import Cell
from toolkit.core.paths import Paths
from toolkit.kernel import profile, source, starting_config, toolchain
from toolkit.matrix.cells import Matrix
from toolkit.series import STDIN, catalog
from toolkit.testing import suite_check
from toolkit.vm import image
from toolkit.workflow import base_choice

PLUS = "+"  # between the profiles of one cell


def check(matrix: Matrix, paths: Paths) -> None:
    """Raise :class:`UserError`, with file and line, for a value that no run could take."""
    for axis, check_value in _checks(paths).items():
        # Which toolchains and suites there can be, the architecture says.
        for value, of in dict.fromkeys((getattr(cell, axis), cell.arch) for cell in matrix.cells):
            try:
                check_value(value, of)
            except UserError as error:
                place = matrix.values.get((axis, value))
                raise UserError(
                    f"{place}: {error.what}" if place else error.what,
                    hint=error.hint,
                    detail=error.detail,
                ) from error
    for cell in matrix.cells:
        _check_cell(cell, matrix)


def profiles(cell: Cell) -> list[str]:
    """Return the profiles of a cell."""
    return list(filter(None, cell.profile.split(PLUS)))


def _checks(paths: Paths) -> Mapping[str, Callable[[str, str], object]]:
    return {
        "arch": lambda value, _: arch.parse(value),  # first: the others are of one
        "series": lambda value, _: _check_series(value, paths),
        "kernel": lambda value, _: _check_kernel(value),
        "config": lambda value, _: starting_config.parse(value),
        "profile": lambda value, _: [profile.load(each) for each in value.split(PLUS) if value],
        "toolchain": lambda value, of: toolchain.parse(value, arch.parse(of)),
        "image": lambda value, of: image.read_manifest(value, paths.images, arch.parse(of)),
        "suite": lambda value, of: suite_check.check(paths.suites, value, arch.parse(of)),
    }


def _check_series(value: str, paths: Paths) -> None:
    if value == STDIN:
        raise UserError("a matrix reads no series from standard input", hint="name a file")
    if value:
        catalog.locate(value, paths.patches)


def _check_kernel(value: str) -> None:
    if value.partition(":")[0] != base_choice.AUTO:
        source.parse(value)


def _check_cell(cell: Cell, matrix: Matrix) -> None:
    if cell.series:
        return
    kernel = matrix.values.get(("kernel", cell.kernel), "")
    if not cell.suite:
        raise UserError(
            f"{kernel}: the unpatched {cell.kernel} has no suite".removeprefix(": "),
            hint="name one with the axis `suite`, or a series",
        )
    if cell.baseline:
        raise UserError(
            f"{kernel}: the unpatched {cell.kernel} has no baseline".removeprefix(": "),
            hint="set `baseline` for cells with a series: match: {series: …}",
        )
