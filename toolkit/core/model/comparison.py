"""A run compared with the same tests on another kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from toolkit.core.model.testing import Status


class LeafClass(StrEnum):
    """How a leaf differs from the same leaf on the unpatched base; the first three fail a run."""

    REGRESSION = "regression"  # good on the base, bad with the series
    NEW_FAILURE = "new failure"  # bad, and the base cannot run it
    MISSING = "missing"  # ran on the base, and no longer runs
    FLAKY = "flaky"  # sometimes bad, and no more often than on the base as far as was seen
    KNOWN_FAILURE = "known failure"  # bad, as series.yaml says
    PREEXISTING = "pre-existing failure"  # bad on the base as well
    FIXED = "fixed"  # bad on the base, good with the series
    NEW = "new"  # good, and the base cannot run it
    UNCHANGED = "unchanged"  # good on both
    UNTESTABLE = "not testable here"  # skipped for want of something in the kernel or the machine
    SKIPPED = "skipped"  # by choice, such as a slow case without --slow

    @property
    def bad(self) -> bool:
        """Whether a leaf of this class fails the run."""
        return self in (LeafClass.REGRESSION, LeafClass.NEW_FAILURE, LeafClass.MISSING)


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often something was seen in fresh machines, before a change and after it.

    ``p`` is Fisher's exact test, one-sided, over these counts; a difference counts as established
    where ``p`` is at most ``threshold``.
    """

    before_seen: int
    before_runs: int
    after_seen: int
    after_runs: int
    p: float
    threshold: float
    established: bool


def _json_key(name: str) -> str:
    """Return the key of a field in result.json, whose version 1 was written with older names."""
    return {"leaf_class": "standing", "message_before": "said_before"}.get(name, name)


@dataclass(frozen=True, slots=True)
class ComparedLeaf:
    """A leaf on two kernels. ``before`` and ``after`` are None where it did not report."""

    __pydantic_config__: ClassVar = {"alias_generator": _json_key}

    id: str
    leaf_class: LeafClass
    before: Status | None
    after: Status | None
    message: str = ""  # of the side that is bad
    repeats: Repeats | None = None  # None: nothing had to be repeated


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run compared with the unpatched base; ``leaves`` has each leaf of either, once."""

    base: str  # what it was compared with
    confidence: float  # with which a difference counts as established, for one leaf
    leaves: tuple[ComparedLeaf, ...]


class StepState(StrEnum):
    """How far a patch's own kernel came."""

    UNTESTED = "not tested"  # the run ended before
    TESTED = "tested"
    SAME = "same"  # kernel and modules as before, so its results are those of the step before
    BUILD_BREAK = "does not build"
    BOOT_FAILURE = "does not boot"


@dataclass(frozen=True, slots=True)
class LeafChange:
    """A leaf that a patch changed: its status and message before and after."""

    __pydantic_config__: ClassVar = {"alias_generator": _json_key}

    id: str
    before: Status | None
    after: Status | None
    message: str = ""  # of the leaf after the patch
    message_before: str = ""
    repeats: Repeats | None = None


@dataclass(frozen=True, slots=True)
class PatchStep:
    """The base, which is patch 0, or what one patch made of the kernel before it."""

    patch: int
    subject: str
    state: StepState
    seconds: float
    counts: dict[Status, int]  # of its leaves; empty where nothing ran
    changes: tuple[LeafChange, ...] = ()
    warnings: tuple[str, ...] = ()  # of the compiler, that no step before had
    message: str = ""  # why it did not build or boot
