"""Where in its patches the mutants of a series survived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.core.model.mutation import Fate, HunkLine, Mutated, SurvivorHunk
from toolkit.core.model.series import PatchedTree
from toolkit.formats.patchfile import Hunk
from toolkit.series.annotate import Annotations


def survivor_hunks(tree: PatchedTree, mutated: Sequence[Mutated]) -> Iterator[SurvivorHunk]:
    """Yield the hunks with survivors in their lines, in the order of the patches.

    Faults that somebody wrote are not in them: each has a diff of its own.
    """
    if tree.series is None:
        return
    origins = Annotations(tree)
    hunks: dict[tuple[int, str, int], Hunk] = {}
    survivors: dict[tuple[int, str, int], dict[int, list[str]]] = {}
    for each in mutated:
        mutant = each.mutant
        if each.verdict.fate is not Fate.SURVIVED or mutant.fault:
            continue
        if place := origins.of(mutant.file, mutant.line):
            key = (place.patch, mutant.file, place.hunk.line)
            hunks[key] = place.hunk
            survivors.setdefault(key, {}).setdefault(place.at, []).append(mutant.id)
    for key in sorted(hunks):
        patch, file, _ = key
        yield SurvivorHunk(
            patch,
            tree.series.patches[patch - 1].subject,
            file,
            tuple(
                HunkLine(text.decode(errors="replace"), tuple(survivors[key].get(at, ())))
                for at, text in enumerate(hunks[key].text)
            ),
        )
