"""A suite's ``bench.yaml``: how it is measured, and how its figures are shown.

The suite's ``program`` is called with ``[-w] -r ROUNDS [GLOB...]``: ``-w`` for real time, and globs
over the rows that are wanted. It prints what :mod:`toolkit.bench.log` reads.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from toolkit.core.errors import UserError
from toolkit.formats import manifest
from toolkit.formats.manifest import Manifest

FILE = "bench.yaml"

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Texts = dict[Text, Text]


class Extra(Manifest):
    """A second program, for rows that need more in their guest than the others do."""

    program: Text
    image: Text
    rows: tuple[Text, ...]
    arch: str = ""  # the only architecture that it is for; "": any


class Scale(Manifest):
    """The row that all others are divided by, and what it is in words."""

    row: Text
    title: Text


class Reference(Manifest):
    """One figure from elsewhere, in any unit, and our row for the same path."""

    name: Text
    value: Positive
    row: Text
    extrapolated: bool = False


class References(Manifest):
    """Figures from elsewhere; the first one is the scale that all are divided by."""

    name: Text  # the year, or who measured
    figures: tuple[Reference, ...] = Field(min_length=1)


class Bar(Manifest):
    """What a row may cost as a part of another one, or how far its runs may lie apart.

    A ``*`` in ``over`` makes it a bar for many rows, and stands for the same text in ``under``.
    Rows that the glob ``other_than`` matches are free of it.
    """

    title: Text
    over: Text
    other_than: str = ""
    under: str = ""  # none: the spread of the row is what counts
    at_most: Positive


class Group(Manifest):
    """Rows that look alike in the figure, by a glob; grey is 0 for black, 1 for white."""

    rows: Text
    grey: float = Field(ge=0, le=1)
    hatch: str = ""  # matplotlib's: /, x, . and so on


class BenchManifest(Manifest):
    """A whole ``bench.yaml``."""

    program: Text
    title: Text = "What one call costs"
    operation: Text = "call"  # what a sample counts
    guide: str = ""  # where the rows are described
    extra: Extra | None = None
    image: Text = "minimal"
    modules: tuple[Text, ...] = ()  # loaded where the kernel has them
    clock: Literal["", "insn", "wall"] = ""  # "": instructions under TCG, time under KVM
    icount_shift: int = Field(default=1, ge=0, le=10)  # an instruction lasts 2**this ns
    seconds: Positive = 300.0  # that one run of a program may take
    failures: Texts = Field(default_factory=dict)  # what an errno means for a row
    scale: Scale | None = None
    references: References | None = None
    bars: tuple[Bar, ...] = ()
    groups: tuple[Group, ...] = ()
    figure_title: Text = "every row"
    figure: Texts = Field(default_factory=dict)  # the rows that it shows, with labels; {}: all


def names(suites: Path) -> list[str]:
    """Return the suites that can be measured."""
    return sorted(path.parent.name for path in suites.glob(f"*/{FILE}"))


def load(suites: Path, name: str) -> BenchManifest:
    """Return what the ``bench.yaml`` of a suite says.

    Raises :class:`UserError` for a fault in it, and for a suite that has none.
    """
    measured = names(suites)
    if name in measured:
        return manifest.load(suites / name / FILE, BenchManifest)
    if name in {path.parent.name for path in suites.glob("*/Makefile")}:
        raise UserError(
            f"suite {name} cannot be measured: it has no {FILE}",
            hint=f"add {suites / name / FILE} with at least `program: NAME`, the one of its "
            f"programs that prints samples; for others see {', '.join(measured) or FILE}",
        )
    near = difflib.get_close_matches(name, measured, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        f"there is no suite {name!r} in {suites} to be measured",
        hint=f"{guess}there is: {', '.join(measured) or 'none'}",
    )
