"""The real machines of trials: restored from the one that was booted, with a mutant's modules.

A mutant in a module needs no boot of its own. One in the kernel itself is booted each time.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Leaf, Outcome, RawRun, Status, TestProgram
from toolkit.testing import guest_program, verdicts
from toolkit.testing.leaf_ids import BOOT
from toolkit.vm.factory import BootedGuest, CannotSaveError, MachineFactory, merged
from toolkit.vm.snapshot import Snapshot, Store
from toolkit.workflow.run import Run

SLOWER = 5.0  # a mutant's program may take that many times what it took without one
LEAST_SECONDS = 6.0
_START_SECONDS = 90.0  # until a machine with a mutant has loaded its modules
_AROUND_SECONDS = 60.0  # for what is done in the guest before and after a program
_FAILED = re.compile(r"\s*not ok\b(?!.*#\s*(SKIP|TODO|XFAIL)\b)", re.I)
_LEAKS = "CONFIG_DEBUG_KMEMLEAK=y"


class _CaseFailed(Exception):  # noqa: N818 - it ends a program that has failed already
    """A case of the program failed; the rest of it cannot make that good."""

    def __init__(self, leaves: tuple[Leaf, ...]) -> None:
        super().__init__()
        self.leaves = leaves


@dataclass(slots=True)
class MutantLab:
    """Makes machines for mutants: :class:`toolkit.mutate.trial.Lab`.

    ``factory`` makes those of the series without a mutant, and ``saved`` is the machine that was
    booted with its kernel, None where each is booted. ``programs`` are by ``suite/program``, with
    the time that each may take, and ``boot_splats`` is what the kernel complains of without a
    mutant. Several threads may use it at once.
    """

    factory: MachineFactory
    saved: Snapshot | None
    folder: Path
    suites: Sequence[BuiltSuite]
    programs: Mapping[str, TestProgram]
    environment: Mapping[str, str]
    known: Sequence[KnownFailure]
    boot_splats: tuple[Splat, ...]
    deadline: Deadline
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def machine(self, kernel: KernelBuild) -> Iterator[MutantMachine]:
        """Lend a machine with a mutant's kernel and modules in it; raises :class:`BootError`."""
        with contextlib.ExitStack() as stack:
            yield MutantMachine(self, self._guest(stack, kernel))

    def _guest(self, stack: contextlib.ExitStack, kernel: KernelBuild) -> BootedGuest:
        """Enter a machine; of one that did not come in time another is made, for the host is busy.

        The modules of the series itself load here, so what fails then is the mutant's fault.
        """
        try:
            return self._enter(stack, kernel)
        except DeadlineError:
            self.deadline.check("trying mutants")
        try:
            return self._enter(stack, kernel)
        except DeadlineError as error:
            self.deadline.check("trying mutants")
            raise BootError(
                f"it hangs while it boots or loads its modules: {error.what}"
            ) from error

    def _enter(self, stack: contextlib.ExitStack, kernel: KernelBuild) -> BootedGuest:
        with self._turn:
            folder = self.folder / str(next(self._numbers))
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        factory = replace(self.factory, kernel=kernel)
        limit = self.deadline.sooner(_START_SECONDS)
        try:
            if self.saved and kernel.image_digest == self.factory.kernel.image_digest:
                return stack.enter_context(factory.loaded(folder, self.saved, limit))
            return stack.enter_context(factory.booted(folder, limit))
        except InfrastructureError as error:
            if type(error) is not InfrastructureError:
                raise
            raise BootError(f"its modules do not load: {_words(error)}") from error


def _words(error: InfrastructureError) -> str:
    """Return what a guest said of a command that failed there."""
    return error.detail[-1] if error.detail else error.what


@dataclass(slots=True)
class MutantMachine:
    """A machine with a mutant: :class:`toolkit.mutate.trial.Machine`."""

    lab: MutantLab
    guest: BootedGuest

    @property
    def boot(self) -> tuple[Leaf, ...]:
        """What the mutant's kernel complained of while it booted or loaded its modules."""
        old = self.lab.boot_splats
        new = merged(old, self.guest.boot_splats)[len(merged(old)) :]
        return (verdicts.dmesg_leaf(BOOT, new),) if new else ()

    def run(self, program: str) -> tuple[Leaf, ...]:
        """Run a program up to its first case that fails; return its leaves."""
        lab, test = self.lab, self.lab.programs[program]
        try:
            return verdicts.judge(self._raw(test), lab.known)
        except _CaseFailed as failed:
            return failed.leaves
        except DeadlineError:
            lab.deadline.check("trying mutants")
            return (Leaf(program, Status.TIMEOUT, "the guest does not answer any more"),)
        except MachineLostError:
            self.guest.machine.settle()
            if not self.guest.machine.kernel_ended():
                raise
            return (Leaf(program, Status.CRASH, self.guest.machine.dead()),)
        except InfrastructureError as error:
            if type(error) is not InfrastructureError:
                raise
            return (Leaf(program, Status.CRASH, f"the guest is broken: {_words(error)}"),)

    def _raw(self, test: TestProgram) -> RawRun:
        lab = self.lab
        limit = lab.deadline.sooner(test.timeout + _AROUND_SECONDS)
        built = next(each for each in lab.suites if each.name == test.suite)
        guest_program.install(self.guest.session, built, test, limit)
        raw = guest_program.run_program(
            self.guest.machine,
            self.guest.session,
            test,
            environment=lab.environment,
            deadline=limit,
            on_line=_Watch(test, lab.known).line,
            leaks=_LEAKS in lab.factory.kernel.config.read_text().splitlines(),
        )
        lab.deadline.check("trying mutants")  # a program that ^C ends does not hang
        before = {splat.line for splat in self.guest.boot_splats}
        return replace(raw, splats=tuple(each for each in raw.splats if each.line not in before))


@dataclass(slots=True)
class _Watch:
    """Reads what a program prints, and ends it when a case has failed that should pass."""

    program: TestProgram
    known: Sequence[KnownFailure]
    lines: list[str] = field(default_factory=list)

    def line(self, _: TestProgram, line: str) -> None:
        self.lines.append(line)
        if _FAILED.match(line) and (bad := failed_so_far(self.program, self.lines, self.known)):
            raise _CaseFailed(bad)


def failed_so_far(
    program: TestProgram, lines: Sequence[str], known: Sequence[KnownFailure]
) -> tuple[Leaf, ...]:
    """Return the cases that have failed by the time that a program has printed ``lines``."""
    raw = RawRun(
        suite=program.suite,
        program=program.name,
        outcome=Outcome.LOST,
        exit_status=None,
        signal=None,
        stdout="\n".join(lines) + "\n",
        stderr="",
        seconds=0.0,
    )
    return tuple(leaf for leaf in verdicts.judge(raw, known) if leaf.status is Status.FAIL)


def booted_snapshot(run: Run, folder: Path) -> Snapshot | None:
    """Return the saved machine of a run's kernel from before its modules were loaded.

    It is booted and saved where the cache has none; None where none can be saved.
    """
    factory, store = run.factory, Store(run.cache, run.observer)
    key = factory.cache_keys()[0]

    def fill(into: Path) -> None:
        own = folder / "booted"
        own.mkdir(parents=True, exist_ok=True)
        factory.save_booted(into, own, run.deadline)

    try:
        label = f"boot {factory.kernel.release}"
        return store.find(key) or store.make(key, label, fill, run.deadline)
    except CannotSaveError as error:
        run.observer.notice(f"each machine is booted: {error.what}")
        return None


def with_limits(
    programs: Mapping[str, TestProgram], seconds: Mapping[str, float]
) -> dict[str, TestProgram]:
    """Return programs that may take as long as a hang should be waited for, and no longer."""

    def limit(name: str, program: TestProgram) -> float:
        if name not in seconds:
            return program.timeout
        learned = max(LEAST_SECONDS, SLOWER * seconds[name])
        return min(program.timeout or learned, learned)

    return {name: replace(each, timeout=limit(name, each)) for name, each in programs.items()}
