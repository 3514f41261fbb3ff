"""Faults that somebody wrote as patches on top of a series: they join the mutants.

A folder has one in each ``NAME.patch``, with a sentence on top of what it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.mutation import BY_HAND, Mutant
from toolkit.core.model.series import Patch, PatchedTree
from toolkit.formats import patchfile
from toolkit.host.cache import digest
from toolkit.series import patching, sources

_SUFFIX = ".patch"


def load(folder: Path) -> dict[str, Patch]:
    """Return the patches of a folder by the id of their mutant, in the order of their names.

    Raises :class:`UserError` where there is none, and for one that cannot be read.
    """
    files = sorted(folder.glob(f"*{_SUFFIX}"))
    if not files:
        raise UserError(f"there is no fault in {folder}", hint=f"a fault is a patch, NAME{_SUFFIX}")
    patches = {}
    for file in files:
        content = sources.read_file(file)
        patches[digest(file.stem, content)[:12]] = Patch(file.name, file.stem, content, file)
    return patches


def mutants(faults: Mapping[str, Patch]) -> list[Mutant]:
    """Return the faults as mutants; the place of each is its first hunk."""
    return [_mutant(name, patch) for name, patch in faults.items()]


def _mutant(name: str, patch: Patch) -> Mutant:
    sections = patchfile.sections(patch)
    hunks = [(part.paths[-1], hunk) for part in sections for hunk in part.hunks]
    file, line = (hunks[0][0], hunks[0][1].start) if hunks else (sections[0].paths[-1], 1)
    return Mutant(
        id=name,
        operator=BY_HAND,
        file=file,
        line=line,
        start=0,
        original="",
        replacement="",
        fault=patch.subject,
    )


def applied(tree: PatchedTree, patch: Patch, deadline: Deadline) -> PatchedTree:
    """Return the tree of a series with a fault on top.

    Raises :class:`UserError` where it does not fit.
    """
    assert tree.series is not None
    patches: Sequence[Patch] = (*tree.series.patches, patch)
    return patching.apply(tree.base, replace(tree.series, patches=tuple(patches)), deadline)
