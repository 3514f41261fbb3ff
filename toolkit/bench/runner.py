"""Runs a suite's benchmark: in fresh machines, or on the host itself."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import platform
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

import toolkit
from toolkit.bench import log
from toolkit.bench.log import BenchLog
from toolkit.bench.manifest import BenchManifest, Extra
from toolkit.bench.samples import INSN, WALL, Benchmark, Row
from toolkit.core.errors import InfrastructureError, KernelError, UserError
from toolkit.core.model.testing import BuiltSuite
from toolkit.core.text import counted
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.testing import guest_program
from toolkit.vm import qemu_argv
from toolkit.vm.pool import MachinePool
from toolkit.vm.ssh import GuestSession
from toolkit.workflow.run import Run

GUEST, HOST = "guest", "host"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how often: ``runs`` machines, and ``rounds`` batches in each."""

    suite: str
    about: BenchManifest
    clock: str = ""  # insn or wall; "": what suits the accelerator
    where: str = GUEST
    runs: int = 5
    rounds: int = 15
    rows: tuple[str, ...] = ()  # globs; empty: all
    arch: str = ""  # of the machines; "": the one that a second program is for

    @property
    def extra(self) -> Extra | None:
        """The second program, if a row of it is wanted; the host's is never run."""
        extra = self.about.extra if self.where == GUEST else None
        if extra and extra.arch and self.arch not in ("", extra.arch):
            return None
        if extra and self.rows and not any(fnmatch.filter(extra.rows, glob) for glob in self.rows):
            return None
        return extra

    @property
    def image(self) -> str:
        """The guest image that has all that the wanted rows need."""
        return self.extra.image if self.extra else self.about.image


def measure(run: Run, plan: Plan) -> Benchmark:
    """Measure every row that is wanted and can be had.

    Raises :class:`KernelError` when a row fails or hangs, :class:`UserError` when there is no row
    to measure, and whatever the stages of the run raise.
    """
    if plan.where != GUEST and run.arch.cross:
        raise UserError(
            f"this host runs no programs for {run.arch.name}", hint="leave out --where host"
        )
    began, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    if not plan.clock:  # time means nothing under emulation
        plan = dataclasses.replace(plan, clock=INSN if run.accelerator.name == "tcg" else WALL)
    logs: list[BenchLog] = []
    command: tuple[str, ...] = ()
    _built(run, plan)  # ahead of the clock
    machines = pool(run, plan) if plan.where == GUEST else None
    for number in range(1, plan.runs + 1):

        def work() -> tuple[tuple[BenchLog, tuple[str, ...]], bool, str]:
            result = _in_guest(run, plan, machines) if machines else (_on_host(run, plan), ())
            return result, False, counted(len(result[0].samples), "row")

        log, command = run.stages.run(f"measure-{number}", work)
        logs.append(log)
    rows = rows_of(logs)
    skipped = {name: why for log in logs for name, why in log.skipped.items()}
    if not rows:
        raise UserError(
            f"no row was measured; wanted: {', '.join(plan.rows) or 'all'}",
            hint="; ".join(f"{name}: {why}" for name, why in skipped.items())
            or f"{plan.about.guide or plan.about.program} lists the rows",
        )
    in_guest = plan.where == GUEST
    series = run.series if in_guest else None
    return Benchmark(
        suite=plan.suite,
        clock=plan.clock,
        where=plan.where,
        rows=rows,
        skipped=skipped,
        rate=float(2**plan.about.icount_shift) if plan.clock == INSN else 0.0,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        toolkit=toolkit.__version__,
        command=run.request.command,
        series=series.name if series else "",
        patches=tuple(patch.subject for patch in series.patches) if series else (),
        kernel=run.base.name if in_guest else "",
        release=run.kernel.release if in_guest else platform.release(),
        config=digest(run.kernel.config.read_text())[:16] if in_guest else "",
        compiler=run.builder.compiler(run.deadline),
        qemu=run.qemu_version if in_guest else "",
        qemu_command=command,
        accelerator=run.accelerator.name if in_guest else "",
    )


def rows_of(logs: Sequence[BenchLog]) -> tuple[Row, ...]:
    """Return the rows that any of several runs has samples of, in the order of the first."""
    names = dict.fromkeys(name for log in logs for name in log.samples)
    return tuple(
        Row(
            name,
            tuple(tuple(log.samples[name]) for log in logs if name in log.samples),
            tuple(log.unit for log in logs if name in log.samples),
        )
        for name in names
    )


def _built(run: Run, plan: Plan) -> BuiltSuite:
    return next(suite for suite in run.built_suites if suite.name == plan.suite)


def _words(plan: Plan) -> list[str]:
    wall = ["-w"] if plan.clock == WALL else []
    return [*wall, "-r", str(plan.rounds), *plan.rows]


def _on_host(run: Run, plan: Plan) -> BenchLog:
    if plan.clock == INSN:
        raise UserError(
            "the host's clock does not count instructions",
            hint="use --clock wall with --where host",
        )
    argv = [str(_built(run, plan).path / plan.about.program), *_words(plan)]
    done = process.run(argv, deadline=run.deadline.sooner(plan.about.seconds), check=False)
    return checked(log.parse(done.text.splitlines()), plan.about)


# --- in a guest --------------------------------------------------------------------------


def pool(run: Run, plan: Plan) -> MachinePool:
    """Return where machines for a plan come from; to count instructions takes special ones."""
    image, accelerator = run.image, run.accelerator
    if plan.clock == INSN:
        if accelerator.name != "tcg":
            raise UserError("only an emulated machine counts instructions", hint="add --accel tcg")
        # One processor: with two, which of them runs when is not for the guest to say.
        image = dataclasses.replace(image, cpus=1)
        accelerator = dataclasses.replace(accelerator, icount=plan.about.icount_shift)
    # Booted each time: a saved machine would repeat the state of its memory, and hide its spread.
    return MachinePool(
        factory=dataclasses.replace(run.factory, image=image, accelerator=accelerator),
        cache=run.cache,
        folder=run.folder,
        observer=run.observer,
        deadline=run.deadline,
        stages=run.stages,
        snapshots=False,
    )


def _in_guest(run: Run, plan: Plan, machines: MachinePool) -> tuple[BenchLog, tuple[str, ...]]:
    """Measure in a fresh machine; return what came of it, and QEMU's command."""
    with machines.boot() as guest:
        machine = guest.machine
        log = _measure_in(run, plan, guest.session)
        if complaints := machine.splats():
            raise KernelError(
                f"the kernel complained while it was measured: {complaints[0].title}",
                detail=complaints[0].text.splitlines(),
                log=machine.spec.console_log,
            )
        return log, portable(qemu_argv.argv(machine.spec))


def install(run: Run, plan: Plan, session: GuestSession) -> None:
    """Copy the programs into a guest, and load the modules that they want of its kernel."""
    session.put(_built(run, plan).path, guest_folder(plan), deadline=run.deadline)
    for module in plan.about.modules:
        # Whatever needs one that this kernel does not have is skipped, or does without.
        session.run(f"modprobe -q {shlex.quote(module)}", deadline=run.deadline)


def guest_folder(plan: Plan) -> str:
    """Return where the suite's programs lie in the guest."""
    return f"{guest_program.FOLDER}/{plan.suite}"


def _measure_in(run: Run, plan: Plan, session: GuestSession) -> BenchLog:
    install(run, plan, session)
    # It tells the clock, too, so it runs even where no row of its own is wanted.
    text = _run_in(run, plan, session, plan.about.program)
    if plan.extra:
        text += _run_in(run, plan, session, plan.extra.program)
    (run.folder / "bench.log").write_text("\n".join(text) + "\n")
    return checked(log.parse(text), plan.about)


def _run_in(run: Run, plan: Plan, session: GuestSession, program: str) -> list[str]:
    command = shlex.join([f"./{program}", *_words(plan)])
    result = session.run(
        f"cd {shlex.quote(guest_folder(plan))} && exec {command}",
        deadline=run.deadline.sooner(plan.about.seconds),
    )
    if result.status not in (0, 1):  # 1: it says itself which rows failed
        ended = f"signal {result.signal}" if result.signal else f"exit status {result.status}"
        raise InfrastructureError(
            f"{program} failed in the guest with {ended}",
            detail=result.stderr.decode(errors="replace").splitlines()[-20:],
        )
    return result.text.splitlines()


def checked(log: BenchLog, about: BenchManifest) -> BenchLog:
    """Return a log with nothing amiss; raise for rows that failed, or an end that is missing."""
    if log.failed:
        raise KernelError(
            f"{counted(len(log.failed), 'row')} of the benchmark failed",
            hint="; ".join(f"{errno}: {meaning}" for errno, meaning in about.failures.items()),
            detail=[f"{name}: {why}" for name, why in log.failed.items()],
        )
    if not log.done or not log.unit:
        raise InfrastructureError("the benchmark ended early", hint="bench.log has what it printed")
    return log


def portable(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command with its paths cut to their last part: where a host keeps things is its own.

    In a path, QEMU's options have a comma doubled.
    """
    return tuple(re.sub(r"(?<![^=])/(?:(?:[^/,]|,,)+/)+(?=[^/,])", "", word) for word in argv)
