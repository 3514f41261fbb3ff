"""Mutants for tests that need some."""

from __future__ import annotations

from dataclasses import replace

from toolkit.core.model.mutation import Mutant


def mutant(name: str = "0", line: int = 5, function: str = "f", file: str = "a.c") -> Mutant:
    """Return a mutant of a line in a function of lines 1 to 9."""
    first = Mutant(name, "boundary", file, line, 0, "<", "<=", function, (1, 9), 1)
    return replace(first, function=function)


def by_hand(name: str) -> Mutant:
    return Mutant(name, "by-hand", "a.c", 1, 0, "", "", fault=name)
