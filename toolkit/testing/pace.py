"""How slow a machine is, and what that gives its test programs: more time, and a word to them.

The limits of the kernel tree's own suites are for hardware, while TCG emulates each instruction and
KASAN and lockdep check each access and lock. Limits that are carried here were set for TCG.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from toolkit.core.model.testing import BuiltSuite, TestProgram

_EMULATED = 4.0  # how much longer programs may take under TCG
_CHECKED = 2.0  # and with a kernel that checks itself
_CHECKS = {"CONFIG_KASAN=y", "CONFIG_PROVE_LOCKING=y", "CONFIG_DEBUG_KMEMLEAK=y", "CONFIG_KCSAN=y"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How far limits are stretched: the kernel tree's by ``slowness``, and all by ``factor``.

    A ``slowness`` of 1 is that of hardware.
    """

    slowness: float = 1.0
    factor: float = 1.0

    @classmethod
    def of(cls, accelerator: str, config: str, factor: float = 1.0) -> Pace:
        """Return the pace of a kernel with the configuration ``config`` under an accelerator."""
        slowness = _EMULATED if accelerator == "tcg" else 1.0
        if not _CHECKS.isdisjoint(config.splitlines()):
            slowness *= _CHECKED
        return cls(slowness, factor)

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells a program that its machine is slow, as tests of the tree understand it.

        tools/testing/selftests/net/forwarding/lib.sh has xfail_on_slow() for it.
        """
        return {"KSFT_MACHINE_SLOW": "yes"} if self.slowness > 1 else {}

    def stretch(self, suites: Iterable[BuiltSuite]) -> tuple[BuiltSuite, ...]:
        """Return the suites with the limits that their programs have at this pace."""
        return tuple(
            replace(suite, programs=tuple(map(self._stretched, suite.programs))) for suite in suites
        )

    def _stretched(self, program: TestProgram) -> TestProgram:
        factor = self.factor * (self.slowness if program.limit_of_tree else 1.0)
        return replace(program, timeout=program.timeout * factor)
