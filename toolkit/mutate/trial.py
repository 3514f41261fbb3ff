"""One mutant against the tests: which of them notices it.

All programs of a trial share a machine, which goes with the mutant. So what comes after the first
program may fail for what another one left behind; and on a busy host any case may take too long.
Such a failure, and one of a case that is known to be flaky, has to come again on a fresh machine
before it counts. A kernel that panics or complains is a kill.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from toolkit.core.errors import BootError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.mutation import Fate, Verdict
from toolkit.core.model.testing import Leaf, Status

MAX_WHY = 300  # characters of what a leaf says


class Machine(Protocol):
    """A machine with a mutant's modules."""

    @property
    def boot(self) -> tuple[Leaf, ...]:
        """What the mutant broke before any program ran."""

    def run(self, program: str) -> tuple[Leaf, ...]:
        """Run a program, named ``suite/program``; return its leaves, the bad ones at least."""


class Lab(Protocol):
    """Where machines come from."""

    def machine(self, kernel: KernelBuild) -> AbstractContextManager[Machine]:
        """Lend a fresh machine; raises :class:`BootError` where the kernel does not come up."""


class Trial:
    """Tries mutants. ``is_flaky`` says of a leaf whether it has ever failed without one.

    ``every`` are all programs that pass without a mutant.
    """

    def __init__(
        self, lab: Lab, every: Collection[str], is_flaky: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._lab = lab
        self._every = every
        self._is_flaky = is_flaky

    def of(self, kernel: KernelBuild, programs: Sequence[str]) -> Verdict:
        """Return the verdict on a kernel; ``programs`` run up to the first that kills it."""
        began = time.monotonic()
        attempt = _Attempt(self._lab, kernel, self._is_flaky)
        try:
            with attempt:
                killer = attempt.first_killer(programs)
                if killer is None and attempt.skipped and not attempt.passed:
                    killer = self._nothing_left(attempt)
        except BootError as error:
            killer = Leaf("boot", Status.CRASH, error.what)
        seconds = round(time.monotonic() - began, 2)
        passed, skipped = tuple(attempt.passed), tuple(attempt.skipped)
        if killer is None:
            return Verdict(Fate.SURVIVED, passed=passed, skipped=skipped, seconds=seconds)
        why = f"{killer.status.value}: {killer.message}" if killer.message else killer.status.value
        return Verdict(
            Fate.KILLED,
            by=killer.id,
            why=why.split("\n")[0][:MAX_WHY],
            passed=passed,
            skipped=skipped,
            seconds=seconds,
        )

    def _nothing_left(self, attempt: _Attempt) -> Leaf | None:
        """Return a leaf where every program skips itself: a run of nothing but skips is no pass.

        The first program that passes anything ends the search.
        """
        for program in self._every:
            if program in attempt.skipped:
                continue
            if killer := attempt.first_killer([program]):
                return killer
            if attempt.passed:
                return None
        return Leaf("every program", Status.SKIP, "no test runs any more")


class _Attempt(contextlib.AbstractContextManager["_Attempt"]):
    """The programs that one mutant's kernel has run, and the machine that runs them."""

    def __init__(self, lab: Lab, kernel: KernelBuild, is_flaky: Callable[[str], bool]) -> None:
        self.passed: list[str] = []
        self.skipped: list[str] = []
        self._lab = lab
        self._kernel = kernel
        self._is_flaky = is_flaky
        self._stack = contextlib.ExitStack()
        self._machine: Machine | None = None
        self._fresh = True

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def first_killer(self, programs: Sequence[str]) -> Leaf | None:
        """Run programs up to the first that notices the mutant; return the leaf that says so."""
        for program in programs:
            machine = self._machine or self._start()
            if bad := first_bad(machine.boot):
                return bad
            leaves = machine.run(program)
            bad = first_bad(leaves)
            if bad is None:
                passes = any(leaf.status is Status.PASS for leaf in leaves)
                (self.passed if passes else self.skipped).append(program)
                self._fresh = False
                continue
            if not self._doubtful(bad):
                return bad
            if again := self._again(program, bad):
                return again
            self.passed.append(program)
        return None

    def _start(self) -> Machine:
        self._machine = self._stack.enter_context(self._lab.machine(self._kernel))
        self._fresh = True
        return self._machine

    def _doubtful(self, bad: Leaf) -> bool:
        if bad.status is Status.TIMEOUT or self._is_flaky(bad.id):
            return True
        return bad.status is Status.FAIL and not bad.id.endswith("/dmesg") and not self._fresh

    def _again(self, program: str, bad: Leaf) -> Leaf | None:
        """Run a program on a fresh machine, which stays for what follows.

        Return a leaf that is bad there: the one that was before, or one that is beyond doubt.
        """
        self._stack.close()
        leaves = [leaf for leaf in self._start().run(program) if leaf.status.bad]
        counts = [leaf for leaf in leaves if leaf.id == bad.id or not self._doubtful(leaf)]
        self._fresh = False
        return first_bad(counts)


def first_bad(leaves: Sequence[Leaf]) -> Leaf | None:
    """Return the leaf that names a kill best: a case that failed, before what ended with it."""
    bad = [leaf for leaf in leaves if leaf.status.bad]
    failed = [leaf for leaf in bad if leaf.status is Status.FAIL]
    return next(iter(failed or bad), None)
