"""The search for the first bad commit: which one to judge next, and which ones are left. Pure.

git lists the candidates and how well each halves them
(:meth:`toolkit.host.git.Repository.halving`), so it deals with merges; this module deals with
commits that cannot be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from toolkit.core.model.kernel import Commit
from toolkit.core.text import visible


class Judgement(StrEnum):
    """The judgement on a commit, in git's words."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"  # cannot be judged


class Role(StrEnum):
    """Why a commit was judged."""

    BAD_END = "the bad end"
    GOOD_END = "a good end"
    MERGE_BASE = "a merge base"  # of the bad end and a good one that is not its ancestor
    MIDPOINT = "a midpoint"


class Outcome(StrEnum):
    """How a bisection ended."""

    FOUND = "found"  # one candidate is left: the first bad commit
    SEVERAL = "several"  # what lies between them cannot be judged
    STOPPED = "stopped"  # an error ended it, which ``message`` names
    INTERRUPTED = "interrupted"
    UNFINISHED = "unfinished"  # it still runs, or was killed


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that was judged."""

    commit: Commit
    role: Role
    judgement: Judgement
    reason: str  # what became of the leaf, or why there is nothing to judge
    seconds: float
    folder: str  # the run's folder, below that of the bisection


@dataclass(frozen=True, slots=True)
class Bisection:
    """A whole bisection. ``bisect.json`` is this type, written out after every step.

    ``candidates`` are the commits of which one is the first bad one, the one that was judged bad
    first; there is one where it was found, and none before the search is over.
    """

    outcome: Outcome
    leaf: str
    repository: str
    bad: str  # the revision, as it was given
    good: tuple[str, ...]
    repeat: int  # how often a leaf must pass to be good
    steps: tuple[Step, ...]
    candidates: tuple[Commit, ...]
    message: str  # why it was stopped
    command: tuple[str, ...]
    started: str  # ISO 8601, UTC
    seconds: float
    toolkit: str
    schema: int = 1


def following(halving: Sequence[str], skipped: Collection[str]) -> str | None:
    """Return the commit to judge next, or None when none of those left can be judged.

    ``halving`` has the candidates, the best first and the bad one last. Where the best cannot be
    judged, its neighbours often cannot either, so the next ones lie apart: two near the middle,
    then one at the far ends, where a broken stretch has to end, and so on.
    """
    left = [name for name in halving[:-1] if name not in skipped]
    if not left or left[0] == halving[0]:
        return left[0] if left else None
    tried = sum(name in skipped for name in halving)
    rounds, turn = divmod(tried, 3)
    share = _scattered(tried - rounds) ** 1.5 if turn else 1 - _scattered(rounds) ** 4
    return left[int(len(left) * share)]


def _scattered(number: int) -> float:
    """Return a fraction: 1/2, 1/4, 3/4, 1/8, 5/8 … (van der Corput's sequence).

    A random one would do as well, but the same history should give the same steps.
    """
    value, weight = 0.0, 0.5
    while number:
        number, bit = divmod(number, 2)
        value, weight = value + weight * bit, weight / 2
    return value


def remaining(halving: Sequence[str], skipped: Collection[str]) -> list[str]:
    """Return the commits of which one is the first bad one, when nothing more can be judged."""
    return [halving[-1], *(name for name in halving[:-1] if name in skipped)]


def steps_left(candidates: int) -> int:
    """Return about how many steps halving this many candidates takes."""
    return max(0, candidates - 1).bit_length()


def log(bisection: Bisection) -> str:
    """Return the steps in the form of `git bisect log`, which `git bisect replay` reads."""
    lines = ["git bisect start"]
    for step in bisection.steps:
        lines.append(f"# {step.judgement.value}: {_named(step.commit)}")
        lines.append(f"git bisect {step.judgement.value} {step.commit.id}")
    if bisection.outcome is Outcome.FOUND:
        lines.append(f"# first bad commit: {_named(bisection.candidates[0])}")
    elif bisection.outcome is Outcome.SEVERAL:
        lines.append("# only skipped commits left to test")
        lines += [f"# possible first bad commit: {_named(one)}" for one in bisection.candidates]
    return "\n".join(lines) + "\n"


def _named(commit: Commit) -> str:
    return f"[{commit.id}] {visible(commit.subject)}"
