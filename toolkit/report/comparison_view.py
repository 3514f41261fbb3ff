"""What reports show of a comparison with the base, and of the kernel after each patch.

Pure. Text from outside passes :func:`~toolkit.core.text.visible` where a report is rendered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from toolkit.core.model.comparison import (
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
_ORDER = {leaf_class: number for number, leaf_class in enumerate(LeafClass)}
_PLURALS = {
    LeafClass.REGRESSION: "regressions",
    LeafClass.NEW_FAILURE: "new failures",
    LeafClass.KNOWN_FAILURE: "known failures",
    LeafClass.PREEXISTING: "pre-existing failures",
}


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A leaf worth a line, and what became of it: "pass -> fail, in 6 of 6 runs, …"."""

    id: str
    leaf_class: LeafClass
    change: str


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """A comparison with the base; ``rows`` have the worst leaves first."""

    base: str
    confidence: str
    tally: str  # "1 regression, 2 fixed, 480 unchanged"
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True, slots=True)
class BrokenLeaf:
    """A leaf that a patch broke; ``change`` says how."""

    id: str
    change: str
    message: str


@dataclass(frozen=True, slots=True)
class StepView:
    """The base, or one patch of the series: what its kernel gave, and what it changed."""

    patch: int
    label: str  # "base", or the number of the patch
    subject: str
    outcome: str  # counts, or why there are none
    seconds: float
    changed: str  # "110 skip -> pass, 1 pass -> fail"
    broken: tuple[BrokenLeaf, ...]
    warnings: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Leaves of one program that changed alike, with their status after each step.

    A status is None where nothing ran or reported; ``changed`` says at which steps it differs.
    """

    name: str
    statuses: tuple[Status | None, ...]
    changed: tuple[bool, ...]

    @property
    def bad(self) -> bool:
        """Whether it was bad at any step."""
        return any(status is not None and status.bad for status in self.statuses)


def of_comparison(comparison: Comparison) -> ComparisonView:
    """Return what reports show of a comparison."""
    counts = Counter(leaf.leaf_class for leaf in comparison.leaves)
    notable = [leaf for leaf in comparison.leaves if leaf.leaf_class not in _QUIET]
    return ComparisonView(
        base=comparison.base,
        confidence=f"{100 * comparison.confidence:g} %",
        tally=", ".join(
            f"{counts[each]} {_PLURALS.get(each, each.value) if counts[each] != 1 else each.value}"
            for each in LeafClass
            if counts[each]
        ),
        rows=tuple(
            ComparedRow(
                leaf.id,
                leaf.leaf_class,
                _sentence(_arrow(leaf.before, leaf.after), classify.how_often(leaf.repeats)),
            )
            for leaf in sorted(notable, key=lambda leaf: _ORDER[leaf.leaf_class])
        ),
    )


def of_step(step: PatchStep) -> StepView:
    """Return what reports show of the base or of one patch."""
    pairs = Counter(_arrow(change.before, change.after) for change in step.changes)
    return StepView(
        patch=step.patch,
        label=str(step.patch) if step.patch else "base",
        subject=step.subject or "the unpatched kernel",
        outcome=_outcome(step),
        seconds=step.seconds,
        changed=", ".join(f"{number} {pair}" for pair, number in pairs.most_common()),
        broken=tuple(
            BrokenLeaf(change.id, how_broken(change), change.message) for change in broken(step)
        ),
        warnings=step.warnings,
        message=step.message,
    )


def _outcome(step: PatchStep) -> str:
    if step.state is StepState.TESTED:
        counts = {Status(status): number for status, number in step.counts.items()}
        return wording.tally({each: counts[each] for each in Status if each in counts})
    if step.state is StepState.SAME:
        return "the same kernel as before, not run again"
    return step.state.value


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
    return _sentence(
        _arrow(change.before, change.after),
        "in another way" if differently else "",
        classify.how_often(change.repeats),
    )


def _arrow(before: Status | None, after: Status | None) -> str:
    return " -> ".join(status.value if status else "none" for status in (before, after))


def _sentence(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def matrix(steps: Sequence[PatchStep]) -> list[MatrixRow]:
    """Return the table of leaves and steps: what changed; what was ever bad first, by itself."""
    rows = list(_rows(steps))
    alike: dict[tuple[object, ...], list[MatrixRow]] = {}
    for row in rows:
        if not row.bad:
            key = (classify.program_of(row.name), row.statuses, row.changed)
            alike.setdefault(key, []).append(row)
    return [
        *(row for row in rows if row.bad),
        *(
            same[0] if len(same) == 1 else replace(same[0], name=f"{program}: {len(same)} cases")
            for (program, *_), same in alike.items()
        ),
    ]


def _rows(steps: Sequence[PatchStep]) -> Iterator[MatrixRow]:
    """Yield each changed leaf's row."""
    changes: dict[str, dict[int, LeafChange]] = {}
    for number, step in enumerate(steps):
        for change in step.changes:
            changes.setdefault(change.id, {})[number] = change
    ran = [step.state in (StepState.TESTED, StepState.SAME) for step in steps]
    for name, at in changes.items():
        status = next(iter(at.values())).before
        statuses: list[Status | None] = []
        for number in range(len(steps)):
            status = at[number].after if number in at else status
            statuses.append(status if ran[number] else None)
        changed = tuple(number in at for number in range(len(steps)))
        yield MatrixRow(name, tuple(statuses), changed)
