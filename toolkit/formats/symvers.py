"""Module.symvers: which symbols a kernel and its modules export, each with a CRC of its type.

modpost writes it (scripts/mod/modpost.c, write_dump()), with CONFIG_MODVERSIONS also the CRCs, and
the loader refuses a module that was built with another one (kernel/module/version.c).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

VMLINUX = "vmlinux"
_LINE = re.compile(r"0x(?P<crc>[0-9a-f]{1,8})\t(?P<symbol>[^\t]+)\t(?P<module>[^\t]+)\t[^\t]")


@dataclass(frozen=True, slots=True)
class Export:
    """A symbol's CRC, and the module that exports it: its path without ``.ko``, or ``vmlinux``."""

    crc: int
    module: str


def parse(text: str) -> dict[str, Export]:
    """Return the exports by symbol; raise :class:`ValueError` for a line of another form."""
    exports: dict[str, Export] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not (match := _LINE.match(line)):
            raise ValueError(f"line {number} is no export of Module.symvers: {line[:80]!a}")
        exports[match["symbol"]] = Export(int(match["crc"], 16), match["module"])
    return exports


def without(text: str, modules: Collection[str]) -> str:
    """Return a Module.symvers that :func:`parse` takes, less what some modules export."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split("\t")[2] not in modules)


def changed(
    before: Mapping[str, Export], after: Mapping[str, Export], modules: Collection[str]
) -> set[str]:
    """Return the symbols of ``modules``, built anew, that others may have another idea of.

    These are those with another CRC, and those that are not exported any more. ``after`` has what
    these modules export now.
    """
    return {
        symbol
        for symbol, export in before.items()
        if export.module in modules and (symbol not in after or after[symbol].crc != export.crc)
    }
