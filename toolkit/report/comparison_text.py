"""What a run is beside its base and patch by patch, in words: the same for every form of report.

Pure. What comes from outside passes :func:`~toolkit.core.text.visible` where a form is made of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolkit.core.model.comparison import (
    ComparedLeaf,
    Comparison,
    LeafChange,
    LeafClass,
    PatchStep,
    StepState,
)
from toolkit.core.model.testing import Status
from toolkit.report import wording
from toolkit.testing import classify

_QUIET = {LeafClass.NEW, LeafClass.UNCHANGED, LeafClass.UNTESTABLE, LeafClass.SKIPPED}
_ORDER = {each: number for number, each in enumerate(LeafClass)}
_PLURALS = {
    LeafClass.REGRESSION: "regressions",
    LeafClass.NEW_FAILURE: "new failures",
    LeafClass.KNOWN_FAILURE: "known failures",
    LeafClass.PREEXISTING: "pre-existing failures",
}


def tally(comparison: Comparison) -> str:
    """Return how many leaves are of each class: "1 regression, 2 fixed, 480 unchanged"."""
    counts = Counter(point.leaf_class for point in comparison.leaves)
    return ", ".join(
        f"{counts[each]} {_PLURALS.get(each, each.value) if counts[each] != 1 else each.value}"
        for each in LeafClass
        if counts[each]
    )


def notable(comparison: Comparison) -> list[ComparedLeaf]:
    """Return the leaves worth a line each, the worst first."""
    found = [point for point in comparison.leaves if point.leaf_class not in _QUIET]
    return sorted(found, key=lambda point: _ORDER[point.leaf_class])


def told(point: ComparedLeaf) -> str:
    """Return what became of a leaf: "pass -> fail, in 6 of 6 runs, before in 0 of 6 (p = …)"."""
    return _joined(_arrow(point.before, point.after), classify.how_often(point.repeats))


def _arrow(before: Status | None, after: Status | None) -> str:
    return " -> ".join(each.value if each else "none" for each in (before, after))


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


# --- patch by patch ------------------------------------------------------------------------


def label(step: PatchStep) -> str:
    """Return what a step is called: "base" or the number of the patch."""
    return str(step.patch) if step.patch else "base"


def outcome(step: PatchStep) -> str:
    """Return what came of a step: counts, or why there are none."""
    if step.state is StepState.TESTED:
        counted = {Status(status): number for status, number in step.counts.items()}
        return wording.tally({each: counted[each] for each in Status if each in counted})
    if step.state is StepState.SAME:
        return "the same kernel as before, not run again"
    return step.state.value


def summary_of(step: PatchStep) -> str:
    """Return what a patch changed, in one line: "110 skip -> pass, 1 pass -> fail"."""
    pairs = Counter(_arrow(change.before, change.after) for change in step.changes)
    return ", ".join(f"{number} {pair}" for pair, number in pairs.most_common())


def broken(step: PatchStep) -> list[LeafChange]:
    """Return the leaves that a patch broke for certain, or broke in another way."""
    return [
        change
        for change in step.changes
        if classify.broke(change) and (change.repeats is None or change.repeats.established)
    ]


def how_broken(change: LeafChange) -> str:
    """Return how a patch broke a leaf; a leaf that was bad before is bad in another way now."""
    differently = change.before is not None and change.before.bad
    return _joined(
        _arrow(change.before, change.after),
        "in another way" if differently else "",
        classify.how_often(change.repeats),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """Leaves of one program that took the same way, with their status after each step.

    A cell is None where nothing ran or reported; ``changed`` says at which steps it differs.
    """

    name: str
    cells: tuple[Status | None, ...]
    changed: tuple[bool, ...]

    @property
    def bad(self) -> bool:
        """Whether it was bad at any step."""
        return any(cell is not None and cell.bad for cell in self.cells)


def matrix(steps: Sequence[PatchStep]) -> list[Row]:
    """Return the table of patches and leaves: what changed; what was ever bad first, by itself."""
    rows = [Row(name, *way) for name, way in _ways(steps).items()]
    alike: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if not row.bad:
            alike.setdefault((classify.program_of(row.name), row.cells, row.changed), []).append(
                row
            )
    return [
        *(row for row in rows if row.bad),
        *(
            same[0] if len(same) == 1 else replace(same[0], name=f"{program}: {len(same)} cases")
            for (program, *_), same in alike.items()
        ),
    ]


def _ways(
    steps: Sequence[PatchStep],
) -> dict[str, tuple[tuple[Status | None, ...], tuple[bool, ...]]]:
    """Return each changed leaf's status after each step, and at which of them it changed."""
    changes: dict[str, dict[int, LeafChange]] = {}
    for number, step in enumerate(steps):
        for change in step.changes:
            changes.setdefault(change.id, {})[number] = change
    ran = [step.state in (StepState.TESTED, StepState.SAME) for step in steps]
    found = {}
    for name, at in changes.items():
        status = next(iter(at.values())).before
        cells: list[Status | None] = []
        for number in range(len(steps)):
            status = at[number].after if number in at else status
            cells.append(status if ran[number] else None)
        found[name] = tuple(cells), tuple(number in at for number in range(len(steps)))
    return found
