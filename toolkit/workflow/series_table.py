"""The table of `series check`: what each check says of each patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.core.errors import EXIT_KERNEL, EXIT_OK
from toolkit.kernel.toolchain import GCC

_PATCH_WIDTH = 56


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a toolchain says of one patch; both are empty when it has nothing to say."""

    toolchain: str
    build: tuple[str, ...] = ()  # why it does not build
    new: tuple[str, ...] = ()  # diagnostics that the patch adds
    checks: str = "W=1 C=1"  # what these are of; C=1 is sparse


@dataclass(frozen=True, slots=True)
class Row:
    """What the checks say of one patch. A tuple of lines is empty when there is nothing to say."""

    patch: str
    checkpatch: tuple[str, ...]
    compiled: tuple[Compiled, ...]  # by each toolchain
    coccinelle: tuple[str, ...] | None = None  # complaints it adds; None: spatch is not there

    @property
    def good(self) -> bool:
        """Whether nothing at all was found."""
        return not any(self.findings())

    def findings(self) -> list[str]:
        """Return all that was found, the lines of any toolchain but gcc with its name."""
        lines = list(self.checkpatch)
        for each in self.compiled:
            name = "" if each.toolchain == GCC.name else f"{each.toolchain}: "
            lines += [f"{name}{line}" for line in (*each.build, *each.new)]
        return [*lines, *(self.coccinelle or ())]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows, in the order of the patches."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()  # what could not be checked, and why

    @property
    def exit_code(self) -> int:
        """0 when every row is good, else 1."""
        return EXIT_OK if all(row.good for row in self.rows) else EXIT_KERNEL

    def lines(self) -> list[str]:
        """Return the table, and below it what was found, as lines."""
        compiled = self.rows[0].compiled if self.rows else ()
        head = ["patch", "applies", "checkpatch"]
        for each in compiled:
            head += [each.toolchain if len(compiled) > 1 else "builds", each.checks]
        cells = [[*head, "coccinelle"], *(_cells(row) for row in self.rows)]
        lines = [
            " ".join(
                [f"{first:<{_PATCH_WIDTH}}", f"{applies:<8}", f"{style:<11}"]
                + [f"{cell:<8}" for cell in middle]
                + [last]
            )
            for first, applies, style, *middle, last in cells
        ]
        for row in self.rows:
            if findings := row.findings():
                lines += ["", row.patch, *(f"  {line}" for line in findings)]
        if self.notes:
            lines += ["", *self.notes]
        return lines


def _cells(row: Row) -> list[str]:
    cells = [row.patch[:_PATCH_WIDTH], "yes", str(len(row.checkpatch) or "clean")]
    for each in row.compiled:
        cells += ["NO", "-"] if each.build else ["yes", _count(each.new)]
    return [*cells, "not run" if row.coccinelle is None else _count(row.coccinelle)]


def _count(lines: Sequence[str]) -> str:
    return f"{len(lines)} new" if lines else "clean"
