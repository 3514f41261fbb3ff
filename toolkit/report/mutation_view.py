"""What the page of a run and the terminal show of mutants: the score, and who survived where.

Pure. Text from outside passes :func:`~toolkit.core.text.visible` where a report is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.core.model.mutation import Fate, Mutated, Mutation, OperatorRow
from toolkit.report.wording import duration, percent

FILE = "mutants.json"
VERSION = 1  # of that file
MAX_SURVIVORS = 400  # shown on the page
MAX_LINES = 8000  # of hunks


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that survived, as a reader sees it."""

    id: str
    operator: str
    meaning: str
    place: str  # file:line, in function
    diff: tuple[str, ...]  # what it changes, without the file's names
    tests: tuple[str, ...]  # those that ran its line and passed
    note: str  # what else there is to say of it
    explained: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a hunk, and the survivors in it."""

    text: str
    survivors: tuple[Survivor, ...]


@dataclass(frozen=True, slots=True)
class Hunk:
    """A hunk with survivors."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class MutationView:
    """What the tests noticed of the mutants of a series."""

    headline: str
    rows: tuple[OperatorRow, ...]
    hunks: tuple[Hunk, ...]
    by_hand: tuple[Survivor, ...]  # faults that somebody wrote and nothing caught
    void: tuple[str, ...]  # such as no test could catch, each with the reason
    stale: tuple[str, ...]
    more: int  # survivors that are not shown


def of(mutation: Mutation) -> MutationView:
    """Return what reports show of a mutation run, bounded."""
    meanings = {row.operator: row.meaning for row in mutation.operators}
    survived = [each for each in mutation.mutants if each.verdict.fate is Fate.SURVIVED]
    shown = {each.mutant.id: _survivor(each, meanings) for each in survived[:MAX_SURVIVORS]}
    left = MAX_LINES
    hunks = []
    for hunk in mutation.hunks:
        lines = tuple(
            Line(line.text, tuple(shown[name] for name in line.survivors if name in shown))
            for line in hunk.lines[:left]
        )
        left -= len(lines)
        if lines:
            hunks.append(Hunk(f"Patch {hunk.patch}: {hunk.subject}: {hunk.file}", lines))
    return MutationView(
        headline=headline(mutation),
        rows=mutation.operators,
        hunks=tuple(hunks),
        by_hand=tuple(
            shown[each.mutant.id] for each in survived[:MAX_SURVIVORS] if each.mutant.fault
        ),
        void=tuple(_void(mutation))[:MAX_SURVIVORS],
        stale=mutation.stale,
        more=max(0, len(survived) - MAX_SURVIVORS),
    )


def _survivor(each: Mutated, meanings: dict[str, str]) -> Survivor:
    mutant, verdict = each.mutant, each.verdict
    within = f", in {mutant.function}()" if mutant.function else ""
    notes = []
    if not verdict.passed:
        notes.append("no test runs this line")
    if verdict.skipped:
        notes.append(f"skipped all of their cases: {', '.join(verdict.skipped)}")
    return Survivor(
        id=mutant.id,
        operator=mutant.fault or mutant.operator,
        meaning=meanings.get(mutant.operator, ""),
        place=f"{mutant.file}:{mutant.line}{within}",
        diff=tuple(line for line in each.diff if not line.startswith(("--- ", "+++ "))),
        tests=verdict.passed,
        note="; ".join(notes),
        explained=each.explained,
    )


def _void(mutation: Mutation) -> Iterator[str]:
    """Yield the faults that somebody wrote and that are none, each with the reason."""
    names = {each.mutant.id: each.mutant.fault or each.mutant.id for each in mutation.mutants}
    for each in mutation.mutants:
        mutant, verdict = each.mutant, each.verdict
        if not mutant.fault or each.explained:
            continue
        match verdict.fate:
            case Fate.UNBUILT:
                problem = f"it does not build: {verdict.why}"
            case Fate.EQUIVALENT:
                problem = "it compiles to the same code as the series"
            case Fate.DUPLICATE:
                problem = f"it compiles to the same code as {names.get(verdict.by, verdict.by)}"
            case _:
                continue
        yield f"no fault: {mutant.fault}, {mutant.file}:{mutant.line}: {problem}"


def headline(mutation: Mutation) -> str:
    """Return the whole in a sentence or two."""
    total = mutation.killed + mutation.survived
    pending = sum(row.pending for row in mutation.operators)
    if mutation.score is None:
        if pending or not mutation.mutants:
            return "no mutant has been tried"
        return "there was nothing to notice: each mutant is equivalent, or does not build"
    text = f"the tests noticed {mutation.killed} of {total} mutants: {percent(mutation.score)}"
    if pending and mutation.sample:
        text = f"partial, {total} of a sample of {mutation.sample}: {text}"
    elif pending:
        text = f"partial, {pending} of {len(mutation.mutants)} mutants are not tried yet: {text}"
    if mutation.interval:
        low, high = mutation.interval
        text += f" (95 % interval {percent(low)} to {percent(high)})"
    if mutation.explained:
        text += f"; survivors that are explained: {mutation.explained} of {mutation.survived}"
    declared = sum(
        1 for each in mutation.mutants if each.verdict.fate is Fate.EQUIVALENT and each.explained
    )
    if declared:
        text += f"; equivalent, as series.yaml says: {declared}"
    return text


def below(mutation: Mutation) -> str:
    """Return what is wrong where fewer mutants were killed than was asked for, else nothing."""
    share = unexplained_score(mutation)
    if mutation.wanted is None or share is None or share >= mutation.wanted:
        return ""
    return (
        f"the tests noticed {percent(share)} of the mutants that nobody has explained, and "
        f"{mutation.wanted:g} % were asked for"
    )


def unexplained_score(mutation: Mutation) -> float | None:
    """Return the percentage that was killed of all mutants but survivors that are explained."""
    total = mutation.killed + mutation.survived - mutation.explained
    if not total:
        return mutation.score
    return 100.0 * mutation.killed / total


def summary(mutation: Mutation, limit: int) -> Iterator[str]:
    """Yield the lines for a terminal: survivors and what is no fault, the table, the score.

    Of the first two there are at most ``limit`` each.
    """
    survived = [each for each in mutation.mutants if each.verdict.fate is Fate.SURVIVED]
    loud = [each for each in survived if not each.explained]
    for each in loud[:limit]:
        yield from _lines(each)
    if len(loud) > limit:
        yield f"… and {len(loud) - limit} more survivors"
    void = [*_void(mutation)]
    if void:
        yield ""
        yield from void[:limit]
    if len(void) > limit:
        yield f"… and {len(void) - limit} more that are no fault"
    fates = ("killed", "survived", "explained", "equivalent", "duplicate", "unbuilt", "pending")
    yield ""
    yield f"{'operator':<20}" + "".join(f"{name:>11}" for name in fates)
    for row in mutation.operators:
        yield f"{row.operator:<20}" + "".join(f"{getattr(row, name) or '':>11}" for name in fates)
    totals = {name: sum(getattr(row, name) for row in mutation.operators) for name in fates}
    yield f"{'all':<20}" + "".join(f"{totals[name] or '':>11}" for name in fates)
    yield ""
    for place in mutation.stale:
        yield f"series.yaml: {place}"
    yield f"{headline(mutation)}; took {duration(mutation.seconds)}"


def _lines(each: Mutated) -> Iterator[str]:
    mutant, verdict = each.mutant, each.verdict
    yield ""
    within = f" in {mutant.function}()" if mutant.function else ""
    place = f"{mutant.file}:{mutant.line}{within}"
    yield f"survived: {mutant.fault or mutant.operator}, {place}, {mutant.id}"
    if not mutant.fault:
        for line in each.diff:
            if line.startswith(("-", "+")) and not line.startswith(("--- ", "+++ ")):
                yield f"  {line}"
    tests = ", ".join(name.rpartition("/")[2] for name in verdict.passed)
    yield f"  passed: {tests}" if tests else "  no test runs this line"
    if verdict.skipped:
        yield f"  skipped: {', '.join(name.rpartition('/')[2] for name in verdict.skipped)}"
