"""A whole run, as result.json holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from toolkit.core.model.comparison import Comparison, PatchStep
from toolkit.core.model.coverage import Coverage
from toolkit.core.model.machine import Splat
from toolkit.core.model.provenance import Environment
from toolkit.core.model.series import Blame, Mailing
from toolkit.core.model.testing import Leaf


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
