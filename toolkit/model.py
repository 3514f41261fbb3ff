"""The frozen types through which the stages meet.

Nothing here starts a process, reads a file or prints. A stage takes some of these and
returns others; ARCHITECTURE.md shows the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from toolkit.evidence import Blame, Comparison, Coverage, Environment, Mailing, PatchStep
from toolkit.evidence import Status as Status  # noqa: PLC0414 - the model has it, too


class Outcome(StrEnum):
    """How one test program ended, seen from outside."""

    COMPLETED = "completed"
    TIMED_OUT = "timed-out"
    PANICKED = "panicked"
    LOST = "lost"


class Verdict(StrEnum):
    """The one word a run ends in."""

    PASS = "pass"
    FAIL = "fail"
    NO_TESTS = "no-tests"
    BUILD_BREAK = "build-break"
    BOOT_FAILURE = "boot-failure"
    USER_ERROR = "user-error"
    INFRASTRUCTURE = "infrastructure"
    INTERRUPTED = "interrupted"


# --- series and source -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch in git format-patch form: its file's name, its subject and its bytes."""

    name: str
    subject: str
    content: bytes
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A leaf that is expected to fail. ``test`` is a glob over leaf ids."""

    test: str
    reason: str
    review: str = ""  # the line of a review that names it
    # What a suite allows, where a series is certain: a pass is no failure, its list is only stale.
    certain: bool = True
    start: bool = True  # False: its program is not even started
    accel: str = ""  # the accelerator that it fails under; "": any


@dataclass(frozen=True, slots=True)
class Explained:
    """Why no test runs some lines: those with this text, in this function, or both."""

    file: str
    reason: str
    line: str = ""  # the line's text, without white space around it
    function: str = ""


@dataclass(frozen=True, slots=True)
class PatchSeries:
    """An ordered patch series for one base, with what its manifest says of it."""

    name: str  # iosignalfd/v4
    title: str
    base: str  # the key of series.yaml's bases that was chosen: 6.12
    patches: tuple[Patch, ...]
    kconfig: tuple[str, ...] = ()  # CONFIG_FOO=y lines
    suites: tuple[str, ...] = ()
    known_failures: tuple[KnownFailure, ...] = ()
    unrun: tuple[Explained, ...] = ()
    cover_letter: str = ""
    origin: Path | None = None
    mailing: Mailing | None = None  # None for a series that does not come from a mail


@dataclass(frozen=True, slots=True)
class KernelBase:
    """An unpacked, pristine kernel source. ``key`` changes whenever its content does.

    Bases of one ``lineage`` follow each other in one work folder, as the states of a tree that
    somebody edits do; "" means that the base is alone.
    """

    name: str  # debian:6.12
    release: str  # 6.12.117, from its Makefile
    path: Path
    key: str
    lineage: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a git repository, with what a person knows it by."""

    id: str  # in full
    author: str  # name <address>
    date: str  # when it was written, ISO 8601
    subject: str


@dataclass(frozen=True, slots=True)
class PatchedFile:
    """One file as a series leaves it; ``content`` None means that the series removes it."""

    content: bytes | None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class PatchedTree:
    """A base and the files a series changes in it, held in memory until a build needs them."""

    base: KernelBase
    series: PatchSeries | None
    files: Mapping[str, PatchedFile]  # by path relative to the tree
    key: str


# --- configuration and build -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fragment:
    """Options asked for, and who asks: ``origin`` is shown when one of them is dropped."""

    origin: str
    options: Mapping[str, str]  # CONFIG_FOO -> y, m, n, 4 or "text"
    # A wish, as in the kernel's own selftests: whoever else asks overrides it, and what Kconfig
    # drops of it is said but is no error.
    soft: bool = False


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """A complete .config, checked against the fragments it was made from."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class KernelBuild:
    """What one build left behind, in a folder that never changes again."""

    path: Path
    key: str
    release: str  # what uname -r will say
    image: Path  # the bootable kernel
    image_digest: str  # of its content: other builds may give the same
    modules: Path | None  # a tar archive of lib/modules/RELEASE, or None without modules
    headers: Path  # usr/include of make headers_install
    config: Path


# --- machine -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A user land to boot: an initramfs, a root disk or both, and its QEMU profile."""

    name: str
    key: str
    initrd: Path | None
    disk: Path | None
    cmdline: tuple[str, ...]
    memory_mib: int
    cpus: int
    machine_type: str
    devices: tuple[str, ...]  # further QEMU arguments, from the rendered profile
    host_key_type: str  # dropbear or openssh: the format that the SSH server reads
    user: str = "root"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Which accelerator runs the machines, and why that one."""

    name: str  # kvm or tcg
    cpu: str  # QEMU's -cpu
    reason: str
    # tcg only: the guest's clock counts instructions, each 2**icount ns; None: it is real
    icount: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file that is a machine's memory: written through, or only read and copied on write."""

    path: Path
    shared: bool


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file that is a machine's root disk. Unless ``kept``, what the machine writes is lost."""

    path: Path
    format: str = "raw"  # or qcow2, over another file
    kept: bool = False


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """Everything QEMU's command line depends on; :func:`toolkit.qemu.argv` is pure over it."""

    binary: str
    accelerator: Accelerator
    machine_type: str
    memory_mib: int
    cpus: int
    kernel: Path
    initrd: Path | None
    disk: DiskFile | None
    cmdline: tuple[str, ...]
    devices: tuple[str, ...]
    fw_cfg: Mapping[str, Path]
    console_log: Path
    qmp_socket: Path
    generation: str = (
        "auto"  # its vmgenid: a new one makes a restored kernel reseed its random pool
    )
    memory: MemoryFile | None = None  # None: anonymous memory, which cannot be saved
    incoming: bool = False  # waits for a saved state instead of booting
    payload: Path | None = None  # a disk to read archives from (toolkit.payload)


@dataclass(frozen=True, slots=True)
class Splat:
    """A complaint of the kernel found on its console, in its own words."""

    kind: str  # panic, oops, bug, warning, kasan, lockdep, rcu-stall, hung-task, soft-lockup …
    title: str  # the line that names it
    text: str  # the whole report
    fatal: bool  # the machine cannot go on after it
    line: int  # where it begins on the console, counted from 1
    during: str = ""  # suite/program that ran, or boot
    decoded: str = ""  # the report with files and lines in its stack traces, where it was possible


# --- tests and results -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TestProgram:
    """One program of a suite: how it is named, where it lies in the guest, how long it may take."""

    suite: str
    name: str
    timeout: float
    by_status: bool = False  # its exit status is the verdict where it reports no test case
    unbuilt: str = ""  # what the compiler said of it, when there is no such program
    case: str = ""  # the one of its cases that is to run; "": all of them


@dataclass(frozen=True, slots=True)
class BuiltSuite:
    """A suite ready to be copied into a guest: ``path`` holds what ``make install`` gave."""

    name: str
    path: Path
    programs: tuple[TestProgram, ...]
    allowed: tuple[KnownFailure, ...] = ()  # what cannot work everywhere; tests are globs over ids
    touched: bool = False  # the series changes what it is built from


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
    note: str = ""  # why it is TIMED_OUT, PANICKED or LOST
    console: str = ""  # what came up on the console while it ran
    by_status: bool = False  # its exit status is the verdict where it reports no test case
    case: str = ""  # the one of the program's cases that was to run; "": all of them


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


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage of a run: what it took, and whether it was done or found in the cache."""

    name: str
    seconds: float
    cached: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run. ``result.json`` is this type, written out; its schema is made from it."""

    verdict: Verdict
    exit_code: int
    command: tuple[str, ...]  # repeats the run
    started: str  # ISO 8601, UTC
    seconds: float
    toolkit: str  # version of the toolkit
    message: str = ""  # why, when the verdict is neither pass nor fail
    detail: tuple[str, ...] = ()  # the evidence for it: the compiler's lines, the console's
    series: str = ""
    patches: tuple[str, ...] = ()
    kernel: str = ""  # debian:6.12
    release: str = ""
    accelerator: str = ""
    accelerator_reason: str = ""
    qemu: str = ""
    stages: tuple[StageRecord, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    splats: tuple[Splat, ...] = ()
    blames: tuple[Blame, ...] = ()
    mailing: Mailing | None = None  # set when the series came as mail
    comparison: Comparison | None = None  # with the unpatched base, where that was asked
    steps: tuple[PatchStep, ...] = ()  # the base and each patch, where that was asked
    environment: Environment = field(default_factory=Environment)
    coverage: Coverage | None = None  # set when it was asked for and the tests ran
    schema: int = 1


# --- what a run tells whoever watches ----------------------------------------------------


class Observer(Protocol):
    """Hears what a run does while it does it; the terminal display is one."""

    def notice(self, text: str) -> None:
        """Say one line that matters to the reader, such as the accelerator and its reason."""

    def stage_started(self, name: str) -> None:
        """Say that a stage begins."""

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Say how far a stage is; ``total`` None when it cannot be told."""

    def stage_finished(self, record: StageRecord) -> None:
        """Say that a stage ended well."""

    def stage_failed(self, name: str) -> None:
        """Say that a stage that began did not end well."""

    def test_finished(self, leaf: Leaf) -> None:
        """Say that one test case has its result."""


class Silent:
    """An :class:`Observer` that keeps quiet."""

    def notice(self, text: str) -> None:
        """Ignore it."""

    def stage_started(self, name: str) -> None:
        """Ignore it."""

    def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
        """Ignore it."""

    def stage_finished(self, record: StageRecord) -> None:
        """Ignore it."""

    def stage_failed(self, name: str) -> None:
        """Ignore it."""

    def test_finished(self, leaf: Leaf) -> None:
        """Ignore it."""
