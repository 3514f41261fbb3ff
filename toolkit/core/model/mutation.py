"""Mutants of a series: small faults put into its lines, and whether a test noticed each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BY_HAND = "by-hand"  # the operator of a fault that somebody wrote as a patch


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"  # a test noticed it
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"  # it compiles to what the series itself compiles to, or is said to be
    DUPLICATE = "duplicate"  # it compiles to what another mutant compiles to
    UNBUILT = "unbuilt"  # it does not compile, or is not part of this kernel
    PENDING = "pending"  # not tried yet

    @property
    def counts(self) -> bool:
        """Whether a mutant with this fate counts for the score."""
        return self in (Fate.KILLED, Fate.SURVIVED)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A small fault in one place of a series' file.

    ``original`` stands at byte ``start`` of the file as the series leaves it, and ``replacement``
    takes its place; both have as many lines. A fault that somebody wrote may change more than that:
    it has a ``fault``, the name of its patch, and neither text.
    """

    id: str  # 12 hex digits, the same as long as file and place are
    operator: str
    file: str
    line: int  # of ``start``, counted from 1
    start: int
    original: str
    replacement: str
    function: str = ""
    within: tuple[int, int] = (0, 0)  # the first and last line of that function
    patch: int = 0  # which of the series wrote the line, counted from 1; 0: by hand
    # What is compiled instead: the same, but no compiler takes it where two types differ.
    guarded: str = ""
    fault: str = ""

    @property
    def end(self) -> int:
        """Where ``original`` ends in the file, in bytes."""
        return self.start + len(self.original.encode(errors="surrogateescape"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant, and who says so."""

    fate: Fate
    by: str = ""  # the leaf that killed it; of a duplicate, the other mutant's id
    why: str = ""  # in words: how it was killed, why it does not build
    passed: tuple[str, ...] = ()  # suite/program: those that ran its line and passed
    skipped: tuple[str, ...] = ()  # those that ran its line before, and skipped all cases with it
    seconds: float = 0.0
    code: str = ""  # digest of what it compiles to


@dataclass(frozen=True, slots=True)
class Mutated:
    """A mutant with its verdict, and as a diff against the series."""

    mutant: Mutant
    verdict: Verdict
    explained: str = ""  # why no test kills it, as series.yaml says
    diff: tuple[str, ...] = ()  # of those that no test killed


@dataclass(frozen=True, slots=True)
class HunkLine:
    """A line of a hunk, with its sign, and the ids of the mutants in it that survived."""

    text: str
    survivors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SurvivorHunk:
    """A hunk of a patch in which mutants survived, its header first."""

    patch: int  # which of the series, counted from 1
    subject: str
    file: str
    lines: tuple[HunkLine, ...]


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """How the mutants of one operator fared."""

    operator: str
    meaning: str
    killed: int = 0
    survived: int = 0
    explained: int = 0  # of those that survived
    equivalent: int = 0
    duplicate: int = 0
    unbuilt: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Mutation:
    """What the tests of a series noticed of its mutants."""

    series: str
    mutants: tuple[Mutated, ...]
    operators: tuple[OperatorRow, ...]
    hunks: tuple[SurvivorHunk, ...]  # where mutants survived, in the order of the patches
    killed: int
    survived: int
    explained: int
    score: float | None  # percentage of those that count which were killed; None: none counts
    interval: tuple[float, float] | None  # 95 %, in per cent; None where all mutants were tried
    sample: int | None = None  # how many were asked for
    seed: int = 0
    seconds: float = 0.0
    recalled: int = 0  # verdicts that an earlier run had stored
    wanted: float | None = None  # the score that was asked for
    stale: tuple[str, ...] = ()  # explanations that the tests do not bear out, in words
    schema: int = 1
