"""Which mutants of a series are asked for: all, or those of the lines that an edit touched."""

from __future__ import annotations

import difflib
import fnmatch
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.mutation import Fate, Mutant, Mutation
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.text import counted
from toolkit.formats.manifest import nearest
from toolkit.host import process
from toolkit.mutate.operators.table import MEANINGS
from toolkit.series import catalog, patching

_GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the mutants is wanted; empty fields choose nothing out.

    ``since`` is a patch of the series, by number or name, or a git revision of its folder.
    """

    operators: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    since: str = ""

    @property
    def whole(self) -> bool:
        """Whether all mutants are wanted."""
        return not (self.operators or self.ids or self.since)


def chosen(
    mutants: Sequence[Mutant], wanted: Selection, tree: PatchedTree, deadline: Deadline
) -> list[Mutant]:
    """Return the mutants that are wanted.

    Raises :class:`UserError` for an operator, an id or a revision that does not exist.
    """
    for name in wanted.operators:
        if not fnmatch.filter(MEANINGS, name):
            guesses = nearest(name, list(MEANINGS))
            raise UserError(
                f"there is no operator {name!r}",
                hint=f"did you mean {guesses[0]!r}? "
                if guesses
                else f"there is: {', '.join(MEANINGS)}",
            )
    for each in wanted.ids:
        if not any(mutant.id.startswith(each) or mutant.fault == each for mutant in mutants):
            raise UserError(f"the series has no mutant {each!r}", hint="--list shows all of them")
    assert tree.series is not None
    patch = _patch(tree.series, wanted.since) if wanted.since else 0
    touched = None
    if wanted.since and not patch:
        old = patching.apply(tree.base, _at(tree.series, wanted.since, deadline), deadline)
        touched = _changed(old, tree)

    def is_wanted(mutant: Mutant) -> bool:
        if wanted.operators and not any(
            fnmatch.fnmatchcase(mutant.operator, name) for name in wanted.operators
        ):
            return False
        if wanted.ids and not any(
            mutant.id.startswith(each) or mutant.fault == each for each in wanted.ids
        ):
            return False
        if wanted.since and mutant.fault:
            return False
        if touched is None:
            return patch in (0, mutant.patch)
        last = mutant.line + mutant.original.count("\n")
        return any((mutant.file, line) in touched for line in range(mutant.line, last + 1))

    return [mutant for mutant in mutants if is_wanted(mutant)]


def survivors(wanted: Sequence[Mutant], every: Sequence[Mutant], earlier: Mutation) -> list[Mutant]:
    """Return those of ``wanted`` that survived an earlier campaign.

    Raises :class:`UserError` where that was of other mutants than ``every``.
    """
    alive = {each.mutant.id for each in earlier.mutants if each.verdict.fate is Fate.SURVIVED}
    if strange := sorted(alive - {mutant.id for mutant in every}):
        raise UserError(
            f"--survivors: {strange[0]} is no mutant of this series",
            hint="the earlier run was of another series, or of another state of it; faults by hand "
            "need --faults here, too",
        )
    return [mutant for mutant in wanted if mutant.id in alive]


def _patch(series: PatchSeries, name: str) -> int:
    """Return which patch a name or number stands for, counted from 1; 0 for no patch."""
    if name.isdecimal() and len(name) <= 4:
        if not 1 <= int(name) <= len(series.patches):
            patches = counted(len(series.patches), "patch", "patches")
            raise UserError(f"--since {name}: the series has {patches}")
        return int(name)
    names = [patch.name for patch in series.patches]
    return names.index(Path(name).name) + 1 if Path(name).name in names else 0


def _at(series: PatchSeries, revision: str, deadline: Deadline) -> PatchSeries:
    """Return the series as its folder was at a revision of the repository that it lies in."""
    folder = series.origin if series.origin and series.origin.is_dir() else None
    if folder is None:
        raise UserError(
            f"--since {revision} is no patch of {series.name}, which is no folder of a repository",
            hint="name a patch by its number, or its file",
        )
    limit = deadline.sooner(_GIT_SECONDS)
    argv = ["git", "-C", str(folder), "archive", "--format=tar", f"{revision}", "--", "."]
    done = process.run(argv, deadline=limit, check=False)
    if done.status != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"--since {revision}: neither a patch of {series.name} nor a revision that has it",
            hint="name a patch by its number or its file, or a revision of git",
            detail=why[:5],
        )
    with tempfile.TemporaryDirectory(prefix="toolkit-since-") as name:
        old = Path(name) / folder.parent.name / folder.name
        old.mkdir(parents=True)
        process.run(["tar", "-x", "-C", str(old)], input=done.stdout, deadline=limit)
        return catalog.resolve(str(old), Path(name), series.base)


def _changed(before: PatchedTree, after: PatchedTree) -> set[tuple[str, int]]:
    """Return the lines of ``after`` that are not the same in ``before``."""
    lines = set()
    for path, file in after.files.items():
        old = before.files.get(path)
        if file == old or file.content is None:
            continue
        were = old.content if old else _in_base(before, path)
        texts = ((were or b"").splitlines(), file.content.splitlines())
        matcher = difflib.SequenceMatcher(a=texts[0], b=texts[1], autojunk=False)
        for tag, _, _, first, end in matcher.get_opcodes():
            if tag != "equal":
                lines |= {(path, number) for number in range(first + 1, end + 1)}
    return lines


def _in_base(tree: PatchedTree, path: str) -> bytes:
    try:
        return (tree.base.path / path).read_bytes()
    except OSError:
        return b""
