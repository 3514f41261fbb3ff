"""The frozen types of what surrounds a result: where it was made, from what mail, whose line broke.

Also what a result is worth beside another one: that of the unpatched base, that of the patch
before. They are parts of :class:`toolkit.model.RunResult`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


_BAD = frozenset({Status.CRASH, Status.TIMEOUT, Status.ERROR, Status.FAIL, Status.XPASS})


@dataclass(frozen=True, slots=True)
class Mailing:
    """How a series was posted: what a reply to it needs. Each header is one line, decoded."""

    message_id: str  # <…@…>, of the cover letter or else of the first patch
    subject: str
    sender: str
    to: str = ""
    cc: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Blame:
    """A complaint that points into a hunk of the series: which patch, and where in it."""

    said: str  # the compiler's or the kernel's line
    file: str
    line: int  # in the patched tree, counted from 1
    patch: int  # which of the series, counted from 1
    subject: str
    hunk: tuple[str, ...]  # the part of the hunk around that line, its header first
    at: int  # index of that line in ``hunk``


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a run was made, and of what. What it did not come to is empty."""

    host: str = ""  # the distribution and the host's own kernel; never the host's name
    processor: str = ""
    cpus: int = 0
    memory_mib: int = 0
    python: str = ""
    architecture: str = ""
    compiler: str = ""
    config: str = ""  # digest of the kernel configuration
    build: str = ""  # key of the kernel build
    image: str = ""  # its name and key
    machine: str = ""  # what QEMU was asked for


# --- beside another kernel -----------------------------------------------------------------


class Standing(StrEnum):
    """What a leaf is, beside the same leaf on the unpatched base; the first three fail a run."""

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
        """Whether a leaf with this standing fails the run."""
        return self in (Standing.REGRESSION, Standing.NEW_FAILURE, Standing.MISSING)


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


@dataclass(frozen=True, slots=True)
class Standpoint:
    """A leaf on two kernels. ``before`` and ``after`` are None where it did not report."""

    id: str
    standing: Standing
    before: Status | None
    after: Status | None
    message: str = ""  # what was said on the side that is bad
    repeats: Repeats | None = None  # None: nothing had to be repeated


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside the same tests on the unpatched base; one standpoint for each leaf of either."""

    base: str  # what it was compared with
    confidence: float  # with which a difference counts as established, for one leaf
    leaves: tuple[Standpoint, ...]


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

    id: str
    before: Status | None
    after: Status | None
    message: str = ""  # of the leaf after the patch
    said_before: str = ""
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


@dataclass(frozen=True, slots=True)
class LineRun:
    """A line of a hunk, and who ran it.

    One without code, and one that a later patch changed again, has no ``number``.
    """

    text: str  # with its sign
    number: int = 0  # in the patched tree, counted from 1
    ran: tuple[int, ...] = ()  # which of ``Coverage.programs`` ran it
    explained: str = ""  # why none does, as series.yaml says


@dataclass(frozen=True, slots=True)
class HunkRun:
    """A hunk with code in it, its header first."""

    patch: int  # which of the series, counted from 1
    file: str
    lines: tuple[LineRun, ...]


@dataclass(frozen=True, slots=True)
class PatchRun:
    """How many of the lines that a patch wrote have code, were run, and are explained."""

    patch: int
    subject: str
    lines: int
    ran: int
    explained: int  # of those that were not


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which lines of the series the tests ran: those that it adds, as they are in the end."""

    programs: tuple[str, ...]  # suite/program, or boot for what ran before the first of them
    patches: tuple[PatchRun, ...]  # those that wrote lines with code
    hunks: tuple[HunkRun, ...]
    unbuilt: tuple[str, ...] = ()  # C files of the series that are not in this kernel
    lost: tuple[str, ...] = ()  # programs whose counters could not be had, and why
    wanted: float | None = None  # the percentage that was asked for
