"""Which programs may notice a mutant, and which of them to ask first. Pure, but for what it learns.

A program that does not run a line cannot notice what is wrong there. Of the others, one that killed
the neighbours of a mutant will most likely kill it as well, and a quick one is worth a try before a
slow one.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from toolkit.core.model.mutation import Mutant

_FAR = 0.02  # what a kill in another function is worth, beside 1 for one in the same line
_HOPE = 0.05  # that a program kills what it never killed anything near
_LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Covered:
    """Which programs ran each line with code of a series, by file and line.

    ``everywhere`` are the lines that the boot ran before any program: they concern all.
    """

    programs: tuple[str, ...]  # all of them, suite/program
    lines: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    everywhere: frozenset[tuple[str, int]] = frozenset()

    def of(self, mutant: Mutant) -> tuple[str, ...]:
        """Return the programs that ran a mutant's place, in the order of all programs.

        Where its own lines have no code that was counted, those of its function stand for it;
        where these have none either, nobody knows, and any program may notice it. So it is with a
        fault that somebody wrote: it may be in several places.
        """
        if mutant.fault:
            return self.programs
        last = mutant.line + mutant.original.count("\n")
        here = self._of_lines(mutant.file, mutant.line, last)
        around = here if here is not None else self._of_lines(mutant.file, *mutant.within)
        return self.programs if around is None else around

    def _of_lines(self, file: str, first: int, last: int) -> tuple[str, ...] | None:
        """Return the programs that ran one of these lines; None where none of them was counted."""
        places = [(file, number) for number in range(first, last + 1)]
        counted = [place for place in places if place in self.lines]
        if not counted:
            return None
        if any(place in self.everywhere for place in counted):
            return self.programs
        ran = frozenset().union(*(self.lines[place] for place in counted))
        return tuple(program for program in self.programs if program in ran)


class Order:
    """Sorts programs for a mutant by what killed others. Several threads may use it at once."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._kills: list[tuple[Mutant, str]] = []
        self._lock = threading.Lock()

    def learn(self, mutant: Mutant, program: str) -> None:
        """Take note that a program killed a mutant."""
        with self._lock:
            self._kills.append((mutant, program))

    def sorted(self, mutant: Mutant, programs: Collection[str]) -> list[str]:
        """Return ``programs`` so that a kill comes as soon as can be expected."""
        with self._lock:
            kills = list(self._kills)
        worth = dict.fromkeys(programs, _HOPE)
        for other, program in kills:
            if program in worth:
                worth[program] += nearness(mutant, other)

        def cost(program: str) -> float:
            return max(_LEAST_SECONDS, self._seconds.get(program, 1.0)) / worth[program]

        return sorted(programs, key=cost)


def nearness(one: Mutant, other: Mutant) -> float:
    """Return how much a kill of ``other`` says of ``one``: 1 in the same line, less farther off."""
    if one.file != other.file:
        return 0.0
    if one.function != other.function:
        return _FAR
    return 1.0 / (1 + abs(one.line - other.line))
