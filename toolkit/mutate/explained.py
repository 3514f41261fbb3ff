"""Survivors that series.yaml explains (``survives:``). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toolkit.core.model.mutation import Fate, Mutant, Mutated
from toolkit.core.model.series import Explained


def reason(mutant: Mutant, text: str, entries: Sequence[Explained]) -> str:
    """Return why a mutant may survive, "" where nobody says so; ``text`` is its line's."""
    return next((each.reason for each in entries if matches(each, mutant, text)), "")


def matches(entry: Explained, mutant: Mutant, text: str) -> bool:
    """Return whether an explanation names a mutant: by all that it says."""
    if entry.fault:
        return entry.fault == mutant.fault
    return (
        entry.file == mutant.file
        and not mutant.fault
        and entry.line in ("", text.strip())
        and entry.function in ("", mutant.function)
        and entry.operator in ("", mutant.operator)
    )


def stale(entries: Iterable[Explained], tried: Sequence[tuple[Mutated, str]]) -> tuple[str, ...]:
    """Return, in words, the explanations that no survivor needs.

    ``tried`` are all mutants of a series, each with the text of its line.
    """
    survivors = [(each.mutant, text) for each, text in tried if each.verdict.fate is Fate.SURVIVED]
    return tuple(
        entry.fault or f"{entry.file}: {entry.line or entry.function or entry.operator}"
        for entry in entries
        if not any(matches(entry, mutant, text) for mutant, text in survivors)
    )
