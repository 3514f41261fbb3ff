"""What the caller asks of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.arch import Arch, host_arch
from toolkit.core.model.kernel import Fragment
from toolkit.host import limits
from toolkit.kernel.starting_config import TINY, StartingConfig
from toolkit.kernel.toolchain import GCC, Toolchain
from toolkit.testing.scheduler import Isolation
from toolkit.testing.significance import CONFIDENCE

DEFAULT_KERNEL = "debian:6.12"
DEFAULT_IMAGE = "minimal"


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller wants of a run. ``patch`` None means the unpatched base."""

    patch: str | None
    series_version: int | None = None  # of what a thread holds; None: the newest
    kernel: str = DEFAULT_KERNEL
    suites: tuple[str, ...] = ()  # empty: those the series names
    arch: Arch = field(default_factory=host_arch)  # of kernel and guest
    image: str = DEFAULT_IMAGE
    packages: tuple[str, ...] = ()  # further Debian packages in the image
    start: StartingConfig = TINY  # what the configuration begins with
    all_modules: bool = False  # of it; else those that somebody needs
    options: tuple[Fragment, ...] = ()  # of --profile and --kconfig, stronger than all others
    toolchain: Toolchain | None = GCC  # compiles kernel and suites; None: nothing is compiled
    accel: str = "auto"
    jobs: int = field(default_factory=limits.cpus)
    cold: bool = False
    shared_cache: str = ""  # the URL of a cache that hosts share
    tests: tuple[str, ...] = ()  # globs over program names; empty: all
    shard: tuple[int, int] = (1, 1)  # which of how many parts of the programs
    slow: bool = False
    env: tuple[tuple[str, str], ...] = ()  # names and values for the test programs
    timeout_factor: float = 1.0  # stretches the limits of all test programs
    append: tuple[str, ...] = ()  # further words for the kernel's command line
    seconds: float = 7200.0  # the whole run may take this long
    command: tuple[str, ...] = ()  # repeats the run
    saved: Path | None = None  # a folder of build --save: nothing is built then
    isolation: Isolation = Isolation.PROGRAM
    machines: int = 0  # that work at a time; 0: as many as there are cores and memory for
    snapshots: bool = True
    replay: bool = True  # kbuild's recorded commands where they are enough; else always make
    repeat: int = 1  # how often each test program runs
    baseline: bool = False  # run the same tests on the unpatched base, and compare
    each: bool = False  # the same, and after each patch
    confidence: float = CONFIDENCE  # with which a difference counts as established
    coverage: bool = False  # count which lines of the series the programs run
    coverage_fail_under: float | None = None  # percentage of them that must be run
    step_summary: Path | None = None  # where a CI page's summary of the job is collected

    @property
    def partial(self) -> bool:
        """Whether some of the suites' programs are left out."""
        return bool(self.tests) or self.shard != (1, 1)

    @property
    def test_environment(self) -> dict[str, str]:
        """What was asked for of the test programs' environment."""
        return {**({"KSFT_SLOW": "1"} if self.slow else {}), **dict(self.env)}
