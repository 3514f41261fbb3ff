"""What each leaf of a run is, beside the same leaf on another kernel: pure, over observations.

An *observation* is what one run of a test program gave; a side has one or more of each program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolkit.core.model.comparison import LeafChange, Repeats, Standing, Standpoint
from toolkit.core.model.testing import Leaf, Status
from toolkit.testing import leaf_ids
from toolkit.testing.significance import Tally

Observation = tuple[Leaf, ...]

_SEVERITY = {status: number for number, status in enumerate(Status)}
_DMESG = "dmesg"
_BY_CHOICE = re.compile(r"\bslow\b", re.I)
_FLEETING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\[ *\d+\.\d+\]|\bPID: \d+|\d+\.\d+ ?m?s\b")
_ASKED = (Standing.REGRESSION, Standing.MISSING, Standing.FIXED)


@dataclass(frozen=True, slots=True)
class Side:
    """All that was seen on one kernel: by program, and of its boot."""

    programs: Mapping[str, Sequence[Observation]] = field(default_factory=dict)
    boot: Observation = ()

    def worst(self) -> dict[str, Leaf]:
        """Return each leaf as it was at its worst, in the order in which they came."""
        found: dict[str, Leaf] = {}
        for leaf in self._every():
            known = found.get(leaf.id)
            if known is None or _SEVERITY[leaf.status] < _SEVERITY[known.status]:
                found[leaf.id] = leaf
        return found

    def _every(self) -> Iterable[Leaf]:
        yield from self.boot
        for observations in self.programs.values():
            for observation in observations:
                yield from observation

    def ran(self, leaf_id: str) -> bool:
        """Return whether the leaf's program ran here and something in it was not skipped."""
        return any(
            leaf.status is not Status.SKIP
            for observation in self.programs.get(program_of(leaf_id), ())
            for leaf in observation
        )

    def bad(self, leaf_id: str) -> Tally:
        """Return how often a leaf was bad here."""
        tally = Tally()
        for observation in self.programs.get(program_of(leaf_id), ()):
            tally = tally.plus(any(each.id == leaf_id and each.status.bad for each in observation))
        return tally


def program_of(leaf_id: str) -> str:
    """Return ``suite/program`` of a leaf, or the boot that it belongs to."""
    suite, program, _ = leaf_ids.split(leaf_id)
    return f"{suite}/{program}" if program else suite


def artificial(leaf_id: str) -> bool:
    """Return whether a leaf is there only when something went wrong, or stands for a program.

    Nothing is missing where such a leaf is not.
    """
    _, program, case = leaf_ids.split(leaf_id)
    return not program or case in ("", _DMESG)


def merged(observations: Sequence[Observation]) -> list[Leaf]:
    """Return the leaves of a program that ran several times: the worst of each, and how often."""
    if len(observations) == 1:
        return list(observations[0])
    side = Side({"": observations})
    leaves = []
    for leaf in side.worst().values():
        times = sum(
            any(each.id == leaf.id and each.status is leaf.status for each in observation)
            for observation in observations
        )
        if times < len(observations) and leaf.status.bad:
            said = f"{leaf.status.value} in {times} of {len(observations)} runs"
            leaves.append(replace(leaf, message="\n".join(filter(None, (said, leaf.message)))))
        else:
            leaves.append(leaf)
    return leaves


# --- beside the base -----------------------------------------------------------------------


def compare(before: Side, after: Side, leaves: Iterable[Leaf]) -> list[Standpoint]:
    """Return a standpoint for each leaf of either side; the rest is for repetitions to say.

    ``leaves`` are the later side's as the run judged them, known failures included.
    """
    old = before.worst()
    found = []
    new = {leaf.id: leaf for leaf in leaves}
    for name, leaf in new.items():
        was = old.get(name)
        standing = _standing(was, leaf, ran=before.ran(name))
        if standing is Standing.PREEXISTING and _mixed(before.bad(name), after.bad(name)):
            standing = Standing.FLAKY
        found.append(_standpoint(name, standing, was, leaf))
    for name, was in old.items():
        if name not in new and (was.status.bad or not artificial(name)):
            standing = Standing.FIXED if artificial(name) else Standing.MISSING
            found.append(_standpoint(name, standing, was, None))
    return found


def _standing(before: Leaf | None, after: Leaf, *, ran: bool) -> Standing:
    if after.status is Status.XFAIL:
        return Standing.KNOWN_FAILURE
    if after.status is Status.XPASS:
        return Standing.NEW_FAILURE
    if after.status is Status.SKIP:
        if before is not None and before.status is Status.PASS:
            return Standing.MISSING
        chosen = _BY_CHOICE.search(after.message)
        return Standing.SKIPPED if chosen else Standing.UNTESTABLE
    if before is None or before.status is Status.SKIP:
        # A leaf that only a failure makes was good where its program ran without it.
        if after.status.bad:
            implied = before is None and ran and artificial(after.id)
            return Standing.REGRESSION if implied else Standing.NEW_FAILURE
        return Standing.NEW
    if after.status.bad:
        return Standing.PREEXISTING if before.status.bad else Standing.REGRESSION
    return Standing.FIXED if before.status.bad else Standing.UNCHANGED


def _mixed(before: Tally, after: Tally) -> bool:
    """Return whether a leaf was bad sometimes, on either side."""
    return any(0 < each.seen < each.runs for each in (before, after))


def _standpoint(
    name: str, standing: Standing, before: Leaf | None, after: Leaf | None
) -> Standpoint:
    told = after if after and after.status.bad else before
    shown = standing in (Standing.UNCHANGED, Standing.NEW) or told is None
    return Standpoint(
        id=name,
        standing=standing,
        before=before.status if before else None,
        after=after.status if after else None,
        message="" if shown or told is None else told.message,
    )


def asked(point: Standpoint) -> bool:
    """Return whether a difference has to be seen again before it is believed."""
    return point.standing in _ASKED and bool(leaf_ids.split(point.id)[1])


def symptom(point: Standpoint, leaf: Leaf | None) -> bool:
    """Return whether one observation shows what the standpoint is about; ``leaf`` None: absent."""
    if point.standing is Standing.MISSING:
        return leaf is None or leaf.status is Status.SKIP
    return leaf is not None and leaf.status.bad


def settled(point: Standpoint, repeats: Repeats) -> Standpoint:
    """Return the standpoint with what the repetitions showed."""
    standing = point.standing if repeats.established else Standing.FLAKY
    return replace(point, standing=standing, repeats=repeats)


def applied(leaves: Iterable[Leaf], points: Iterable[Standpoint]) -> list[Leaf]:
    """Return a run's leaves as the comparison has them: only what is new and bad stays bad.

    What is bad on the base as well, or flaky, fails as expected; what is missing is an error.
    """
    found = {leaf.id: leaf for leaf in leaves}
    for point in points:
        leaf = found.get(point.id)
        if point.standing is Standing.MISSING:
            was = point.before.value if point.before else "nothing"
            said = leaf.message if leaf else ""
            why = f"missing: it gives {was} on the base, and nothing here"
            found[point.id] = Leaf(point.id, Status.ERROR, "\n".join(filter(None, (why, said))))
        elif leaf and leaf.status.bad and not point.standing.bad:
            known = f"{point.standing.value}: {how_often(point.repeats) or 'bad on the base, too'}"
            found[point.id] = replace(leaf, status=Status.XFAIL, known=known)
        elif leaf and leaf.status.bad and point.repeats:
            said = f"{how_often(point.repeats)}\n{leaf.message}"
            found[point.id] = replace(leaf, message=said.rstrip())
    return list(found.values())


def how_often(repeats: Repeats | None) -> str:
    """Return the counts in words: "in 6 of 6 runs, before in 0 of 6 (p = 0.001)"."""
    if repeats is None:
        return ""
    return (
        f"in {repeats.after_seen} of {repeats.after_runs} runs, "
        f"before in {repeats.before_seen} of {repeats.before_runs} (p = {repeats.p:.2g})"
    )


# --- beside the patch before ---------------------------------------------------------------


def changes(before: Side, after: Side) -> list[LeafChange]:
    """Return the leaves that one patch changed: another status, or bad in another way."""
    old, new = before.worst(), after.worst()
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        if signature(was) != signature(now):
            found.append(
                LeafChange(
                    id=name,
                    before=was.status if was else None,
                    after=now.status if now else None,
                    message=now.message if now and now.status is not Status.PASS else "",
                    said_before=was.message if was and was.status is not Status.PASS else "",
                )
            )
    return found


def signature(leaf: Leaf | None) -> tuple[str, str]:
    """Return what tells one way to fail from another: the status, and what was said.

    Addresses, times and process ids in it are not the same twice, and are left out.
    """
    if leaf is None:
        return "", ""
    said = _FLEETING.sub("~", leaf.message) if leaf.status.bad else ""
    return leaf.status.value, said


def broke(change: LeafChange) -> bool:
    """Return whether a patch broke a leaf: it was good, or bad in another way, and is bad now.

    A leaf that could not run before and fails now is unfinished rather than broken: a series may
    well bring one half of what is tested in one patch and the other half in the next.
    """
    if change.after is None or not change.after.bad:
        return False
    if change.before is None:
        return artificial(change.id)
    return change.before is not Status.SKIP


def doubtful(change: LeafChange) -> bool:
    """Return whether a change has to be seen again before a patch is blamed for it."""
    return broke(change) and bool(leaf_ids.split(change.id)[1])
