"""How each leaf of a run differs from the same leaf on another kernel.

Pure functions over *observations*: the leaves that one run of a test program gave. A :class:`Side`
holds what was seen on one kernel, with one or more observations of each program.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolkit.core.model.comparison import ComparedLeaf, LeafChange, LeafClass, Repeats
from toolkit.core.model.testing import Leaf, Status
from toolkit.formats import ktap
from toolkit.testing import leaf_ids
from toolkit.testing.significance import Tally

Observation = tuple[Leaf, ...]

_SEVERITY = {status: number for number, status in enumerate(Status)}
_DMESG = "dmesg"
_BY_CHOICE = re.compile(r"\bslow\b", re.I)
_FLEETING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\[ *\d+\.\d+\]|\bPID: \d+|\d+\.\d+ ?m?s\b")
_NEEDS_REPEATING = (LeafClass.REGRESSION, LeafClass.MISSING, LeafClass.FIXED)


@dataclass(frozen=True, slots=True)
class Side:
    """The observations on one kernel: of each ``suite/program``, and of its boot."""

    programs: Mapping[str, Sequence[Observation]] = field(default_factory=dict)
    boot: Observation = ()

    def worst(self) -> dict[str, Leaf]:
        """Return each leaf as it was at its worst, in the order in which they came."""
        worst: dict[str, Leaf] = {}
        for leaf in self._leaves():
            worst_yet = worst.get(leaf.id)
            if worst_yet is None or _SEVERITY[leaf.status] < _SEVERITY[worst_yet.status]:
                worst[leaf.id] = leaf
        return worst

    def _leaves(self) -> Iterable[Leaf]:
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

    def often_bad(self) -> dict[str, Tally]:
        """Return how often each leaf was bad here, out of the runs of its program."""
        often = {}
        for observations in self.programs.values():
            counts = Counter(
                leaf_id
                for observation in observations
                for leaf_id in {leaf.id for leaf in observation if leaf.status.bad}
            )
            for leaf_id, times in counts.items():
                often[leaf_id] = Tally(times, len(observations))
        return often


def program_of(leaf_id: str) -> str:
    """Return ``suite/program`` of a leaf, or the boot that it belongs to."""
    suite, program, _ = leaf_ids.split(leaf_id)
    return f"{suite}/{program}" if program else suite


def artificial(leaf_id: str, status: Status | None = None) -> bool:
    """Return whether a leaf exists only when something went wrong, or stands for a program.

    Such a leaf is never missing: "Bail out!", "1..3" where three results never came, and "2" if
    that one crashed, which would have had a name.
    """
    _, program, case = leaf_ids.split(leaf_id)
    last = case.rpartition("/")[2]
    unnamed = status in (Status.CRASH, Status.TIMEOUT) and last.isdecimal()
    placeholder = ktap.PLACEHOLDER.fullmatch(last) is not None
    return not program or case in ("", _DMESG) or placeholder or unnamed


def merged(observations: Sequence[Observation]) -> list[Leaf]:
    """Return the leaves of a program that ran several times: each at its worst, and how often."""
    if len(observations) == 1:
        return list(observations[0])
    side = Side({"": observations})
    counts = Counter(
        pair
        for observation in observations
        for pair in {(leaf.id, leaf.status) for leaf in observation}
    )
    leaves = []
    for leaf in side.worst().values():
        times = counts[leaf.id, leaf.status]
        if times < len(observations) and leaf.status.bad:
            frequency = f"{leaf.status.value} in {times} of {len(observations)} runs"
            message = "\n".join(filter(None, (frequency, leaf.message)))
            leaves.append(replace(leaf, message=message))
        else:
            leaves.append(leaf)
    return leaves


# --- compared with the base ----------------------------------------------------------------


def compare(before: Side, after: Side, leaves: Iterable[Leaf]) -> list[ComparedLeaf]:
    """Return each leaf of either side with its class, as far as one run of each can tell.

    ``leaves`` are the later side's with the run's verdicts, known failures included. Those that
    :func:`needs_repeating` picks are to be run again before their class is believed.
    """
    old = before.worst()
    mixed_before, mixed_after = _mixed(before), _mixed(after)
    new = {leaf.id: leaf for leaf in leaves}
    compared = []
    for name, leaf in new.items():
        leaf_before = old.get(name)
        leaf_class = _classify(leaf_before, leaf, ran=before.ran(name))
        if leaf_class is LeafClass.PREEXISTING and (name in mixed_before or name in mixed_after):
            leaf_class = LeafClass.FLAKY
        compared.append(_compared(name, leaf_class, leaf_before, leaf))
    for name, leaf_before in old.items():
        # A result may come without its name where the test is skipped, and with it elsewhere.
        if name in new or leaf_before.status is Status.SKIP:
            continue
        if not artificial(name, leaf_before.status):
            compared.append(_compared(name, LeafClass.MISSING, leaf_before, None))
        elif leaf_before.status.bad:
            compared.append(_compared(name, LeafClass.FIXED, leaf_before, None))
    return compared


def _classify(before: Leaf | None, after: Leaf, *, ran: bool) -> LeafClass:
    if after.status is Status.XFAIL:
        return LeafClass.KNOWN_FAILURE
    if after.status is Status.XPASS:
        return LeafClass.NEW_FAILURE
    if after.status is Status.SKIP:
        if before is not None and before.status is Status.PASS:
            return LeafClass.MISSING
        chosen = _BY_CHOICE.search(after.message)
        return LeafClass.SKIPPED if chosen else LeafClass.UNTESTABLE
    if before is None or before.status is Status.SKIP:
        # A leaf that exists only when it fails was good where its program ran without it.
        if after.status.bad:
            implied = before is None and ran and artificial(after.id, after.status)
            return LeafClass.REGRESSION if implied else LeafClass.NEW_FAILURE
        return LeafClass.NEW
    if after.status.bad:
        return LeafClass.PREEXISTING if before.status.bad else LeafClass.REGRESSION
    return LeafClass.FIXED if before.status.bad else LeafClass.UNCHANGED


def _mixed(side: Side) -> set[str]:
    """Return the leaves that were bad sometimes, and sometimes not."""
    return {name for name, tally in side.often_bad().items() if tally.seen < tally.runs}


def _compared(
    name: str, leaf_class: LeafClass, before: Leaf | None, after: Leaf | None
) -> ComparedLeaf:
    bad_side = after if after and after.status.bad else before
    quiet = leaf_class in (LeafClass.UNCHANGED, LeafClass.NEW)
    return ComparedLeaf(
        id=name,
        leaf_class=leaf_class,
        before=before.status if before else None,
        after=after.status if after else None,
        message="" if quiet or bad_side is None else bad_side.message,
    )


def needs_repeating(compared: ComparedLeaf) -> bool:
    """Return whether a difference has to be seen again before it is believed."""
    return compared.leaf_class in _NEEDS_REPEATING and bool(leaf_ids.split(compared.id)[1])


def symptom(compared: ComparedLeaf, leaf: Leaf | None) -> bool:
    """Return whether one observation shows the difference; ``leaf`` is None where it is absent."""
    if compared.leaf_class is LeafClass.MISSING:
        return leaf is None or leaf.status is Status.SKIP
    return leaf is not None and leaf.status.bad


def with_repeats(compared: ComparedLeaf, repeats: Repeats) -> ComparedLeaf:
    """Return the leaf with its repetitions; flaky where they did not establish the difference."""
    leaf_class = compared.leaf_class if repeats.established else LeafClass.FLAKY
    return replace(compared, leaf_class=leaf_class, repeats=repeats)


def judged(
    leaves: Iterable[Leaf], comparison: Iterable[ComparedLeaf], changed: Collection[str] = ()
) -> list[Leaf]:
    """Return a run's leaves by what the comparison showed: only what is new and bad stays bad.

    What is bad on the base as well, or flaky, fails as expected; what is missing is an error. The
    programs that the series changed (``suite/program``) have to run to their end on any kernel.
    """
    by_id = {leaf.id: leaf for leaf in leaves}
    for compared in comparison:
        leaf = by_id.get(compared.id)
        if compared.leaf_class is LeafClass.MISSING:
            status = compared.before.value if compared.before else "nothing"
            reason = f"missing: it gives {status} on the base, and nothing here"
            message = "\n".join(filter(None, (reason, leaf.message if leaf else "")))
            by_id[compared.id] = Leaf(compared.id, Status.ERROR, message)
        elif leaf and leaf.status.unfinished and program_of(leaf.id) in changed:
            reason = "the series changes this test, so it has to run to its end, base or not"
            message = f"{reason}\n{leaf.message}".rstrip()
            by_id[compared.id] = replace(leaf, message=message)
        elif leaf and leaf.status.bad and not compared.leaf_class.bad:
            evidence = how_often(compared.repeats) or "bad on the base, too"
            reason = f"{compared.leaf_class.value}: {evidence}"
            by_id[compared.id] = replace(leaf, status=Status.XFAIL, known=reason)
        elif leaf and leaf.status.bad and compared.repeats:
            message = f"{how_often(compared.repeats)}\n{leaf.message}".rstrip()
            by_id[compared.id] = replace(leaf, message=message)
    return list(by_id.values())


def how_often(repeats: Repeats | None) -> str:
    """Return the counts in words: "in 6 of 6 runs, before in 0 of 6 (p = 0.001)"."""
    if repeats is None:
        return ""
    return (
        f"in {repeats.after_seen} of {repeats.after_runs} runs, "
        f"before in {repeats.before_seen} of {repeats.before_runs} (p = {repeats.p:.2g})"
    )


# --- compared with the patch before ---------------------------------------------------------


def changes(before: Side, after: Side) -> list[LeafChange]:
    """Return the leaves that one patch changed: another status, or bad in another way."""
    old, new = before.worst(), after.worst()
    changed = []
    for name in [*new, *(name for name in old if name not in new)]:
        leaf_before, leaf = old.get(name), new.get(name)
        if signature(leaf_before) != signature(leaf):
            changed.append(
                LeafChange(
                    id=name,
                    before=leaf_before.status if leaf_before else None,
                    after=leaf.status if leaf else None,
                    message=_message(leaf),
                    message_before=_message(leaf_before),
                )
            )
    return changed


def _message(leaf: Leaf | None) -> str:
    return leaf.message if leaf and leaf.status is not Status.PASS else ""


def signature(leaf: Leaf | None) -> tuple[str, str]:
    """Return what tells one way to fail from another: the status, and the message.

    Without addresses, times and process ids, which differ in every run.
    """
    if leaf is None:
        return "", ""
    message = _FLEETING.sub("~", leaf.message) if leaf.status.bad else ""
    return leaf.status.value, message


def broke(change: LeafChange) -> bool:
    """Return whether a patch broke a leaf: it was good, or bad in another way, and is bad now.

    A leaf that could not run before and fails now is unfinished rather than broken: a series may
    well bring one half of what is tested in one patch and the other half in the next.
    """
    if change.after is None or not change.after.bad:
        return False
    if change.before is None:
        return artificial(change.id, change.after)
    return change.before is not Status.SKIP


def change_needs_repeating(change: LeafChange) -> bool:
    """Return whether a change has to be seen again before a patch is blamed for it."""
    return broke(change) and bool(leaf_ids.split(change.id)[1])
