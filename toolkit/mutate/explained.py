"""Survivors that series.yaml explains (``survives:``). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from toolkit.core.model.mutation import Fate, Mutant, Mutated, Verdict
from toolkit.core.model.series import Explained


def judged(
    mutant: Mutant, verdict: Verdict, text: str, entries: Sequence[Explained]
) -> tuple[Verdict, str]:
    """Return a survivor's verdict, and why it may survive: "" where nobody says so.

    The verdict is another one where an entry says that no test can tell the mutant from the series;
    ``text`` is the mutant's line.
    """
    entry = next((each for each in entries if matches(each, mutant, text)), None)
    if entry is None:
        return verdict, ""
    if entry.equivalent:
        verdict = replace(verdict, fate=Fate.EQUIVALENT, why="as series.yaml says")
    return verdict, entry.reason


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
    """Return, in words, what the explanations say that the tests do not bear out.

    That is an explanation that no survivor needs, and a mutant that is said to be equivalent and
    was killed. ``tried`` are all mutants of a series, each with the text of its line.
    """
    words = []
    for entry in entries:
        named = [each for each, text in tried if matches(entry, each.mutant, text)]
        place = entry.fault or f"{entry.file}: {entry.line or entry.function or entry.operator}"
        killed = [each for each in named if each.verdict.fate is Fate.KILLED]
        if entry.equivalent and killed:
            words.append(f"{place} is said to be equivalent: {killed[0].verdict.by} killed it")
        elif not any(each.verdict.fate is Fate.SURVIVED or each.explained for each in named):
            words.append(f"{place} explains a survivor that there is none of")
    return tuple(words)
