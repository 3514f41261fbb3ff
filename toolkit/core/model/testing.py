"""Test programs, what running them gave, and the leaves that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure


class Status(StrEnum):
    """What is known of one test. The order is severity: the first ones win in a parent."""

    CRASH = "crash"  # started, never finished: the pessimistic default
    TIMEOUT = "timeout"
    ERROR = "error"  # could not be judged: a broken plan, a duplicate number
    FAIL = "fail"
    XPASS = "xpass"  # a known failure that passed
    PASS = "pass"
    XFAIL = "xfail"  # failed as expected
    SKIP = "skip"

    @property
    def bad(self) -> bool:
        """Whether a leaf with this status fails the run."""
        return self in _BAD

    @property
    def unfinished(self) -> bool:
        """Whether a test with this status did not come to an end that could be judged."""
        return self in (Status.CRASH, Status.TIMEOUT, Status.ERROR)


_BAD = frozenset({Status.CRASH, Status.TIMEOUT, Status.ERROR, Status.FAIL, Status.XPASS})


class Outcome(StrEnum):
    """How one test program ended, seen from outside."""

    COMPLETED = "completed"
    TIMED_OUT = "timed-out"
    PANICKED = "panicked"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class TestProgram:
    """One program of a suite: how it is named, where it lies in the guest, how long it may take."""

    suite: str
    name: str
    timeout: float  # seconds; 0: no limit of its own
    by_status: bool = False  # its exit status is the verdict where it reports no test case
    unbuilt: str = ""  # what the compiler said of it, when there is no such program
    # What of its suite is no program and could not be made, by name: why nothing can be judged
    # that calls it.
    lacking: Mapping[str, str] = field(default_factory=dict, hash=False)
    case: str = ""  # the one of its cases that is to run; "": all of them
    folder: str = ""  # where it lies below its suite's folder
    alone: bool = False  # it needs no other program of its suite
    launcher: str = ""  # the file in its suite's folder that starts it; "": it starts by itself
    touched: bool = False  # the series changes its own source
    limit_of_tree: bool = False  # the timeout is the kernel tree's, which is for hardware
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)  # its suite's own


@dataclass(frozen=True, slots=True)
class BuiltSuite:
    """A suite ready to be copied into a guest: ``path`` holds what ``make install`` gave."""

    name: str
    path: Path
    programs: tuple[TestProgram, ...]
    allowed: tuple[KnownFailure, ...] = ()  # what cannot work everywhere; tests are globs over ids
    touched: bool = False  # the series changes what it is built from
    kvm: bool = True  # its programs use KVM in the guest; so it may be with what was saved before

    @property
    def changed(self) -> tuple[str, ...]:
        """The programs whose own source the series changes, as ``suite/program``."""
        return tuple(f"{each.suite}/{each.name}" for each in self.programs if each.touched)


@dataclass(frozen=True, slots=True)
class RawRun:
    """What running one test program gave, before anybody parses it."""

    suite: str
    program: str
    outcome: Outcome
    exit_status: int | None  # None when it never exited by itself
    signal: str | None  # SEGV, when a signal ended it
    stdout: str
    stderr: str
    seconds: float
    splats: tuple[Splat, ...] = ()
    marks: tuple[float, ...] = ()  # when each result line came, in seconds after the start
    # Why it is TIMED_OUT, PANICKED or LOST; COMPLETED: why nobody knows what the kernel logged.
    note: str = ""
    console: str = ""  # what came up on the console while it ran
    by_status: bool = False  # its exit status is the verdict where it reports no test case
    lacking: Mapping[str, str] = field(default_factory=dict, hash=False)  # TestProgram's
    case: str = ""  # the one of the program's cases that was to run; "": all of them
    cut: bool = False  # it printed more than stdout keeps, which has the beginning


@dataclass(frozen=True, slots=True)
class TestNode:
    """One test of a KTAP document; a leaf has no children."""

    name: str
    status: Status
    message: str = ""
    children: tuple[TestNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """The verdict on one test case. ``id`` is suite/program/case, stable between runs."""

    id: str
    status: Status
    message: str = ""
    seconds: float | None = None
    known: str = ""  # the reason, when series.yaml lists it as a known failure
