"""Runs the doorbell benchmark: in fresh machines, or on the host itself."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import platform
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import toolkit
from toolkit.bench import log
from toolkit.bench.log import BenchLog
from toolkit.bench.samples import INSN, WALL, Benchmark, Row
from toolkit.core.errors import InfrastructureError, KernelError, UserError
from toolkit.core.model.testing import BuiltSuite
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.testing import guest_program
from toolkit.vm import qemu_argv
from toolkit.vm.pool import MachinePool
from toolkit.vm.ssh import GuestSession
from toolkit.workflow.run import Run

SUITE = "doorbell"
PROGRAM = "doorbell_bench"
QEMU_PROGRAM = "qemu_bench.sh"  # for the rows that need a QEMU in the guest
QEMU_ROWS = tuple(
    f"qemu-{bus}/{how}" for bus in ("pio", "mmio") for how in ("none", "any", "match")
)
GUEST, HOST = "guest", "host"
SHIFT = 1  # an instruction lasts 2**SHIFT ns of the guest's time
RUN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how often: ``runs`` machines, and ``rounds`` batches in each."""

    clock: str  # insn or wall
    where: str = GUEST
    runs: int = 5
    rounds: int = 15
    rows: tuple[str, ...] = ()  # globs; empty: all

    def on(self, clock: str) -> Plan:
        """Return the same plan for another clock."""
        return dataclasses.replace(self, clock=clock)

    @property
    def with_qemu(self) -> bool:
        """Whether any row is wanted that needs a QEMU in the guest."""
        return self.where == GUEST and (
            not self.rows or any(fnmatch.filter(QEMU_ROWS, glob) for glob in self.rows)
        )


def default_clock(run: Run) -> str:
    """Return the clock that suits the run's accelerator: time means nothing under emulation."""
    return INSN if run.accelerator.name == "tcg" else WALL


def measure(run: Run, plan: Plan) -> Benchmark:
    """Measure every row that is wanted and can be had.

    Raises :class:`KernelError` when rings get lost or a row hangs, :class:`UserError` when there is
    no row to measure, and whatever the stages of the run raise.
    """
    began, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    logs: list[BenchLog] = []
    command: tuple[str, ...] = ()
    measure_once = _measurer(run, plan)
    for number in range(1, plan.runs + 1):

        def work() -> tuple[tuple[BenchLog, tuple[str, ...]], bool, str]:
            result = measure_once()
            return result, False, f"{len(result[0].samples)} rows"

        log, command = run.stage(f"measure-{number}", work)
        logs.append(log)
    rows = rows_of(logs)
    skipped = {name: why for log in logs for name, why in log.skipped.items()}
    if not rows:
        raise UserError(
            f"no row was measured; wanted: {', '.join(plan.rows) or 'all'}",
            hint="; ".join(f"{name}: {why}" for name, why in skipped.items())
            or "docs/doorbell.md lists the rows",
        )
    in_guest = plan.where == GUEST
    series = run.series
    return Benchmark(
        clock=plan.clock,
        where=plan.where,
        rows=rows,
        skipped=skipped,
        rate=float(2**SHIFT) if plan.clock == INSN else 0.0,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        toolkit=toolkit.__version__,
        command=run.request.command,
        series=series.name if series and in_guest else "",
        patches=tuple(patch.subject for patch in series.patches) if series and in_guest else (),
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


def _program(run: Run) -> BuiltSuite:
    return next(suite for suite in run.built_suites if suite.name == SUITE)


def _words(plan: Plan) -> list[str]:
    wall = ["-w"] if plan.clock == WALL else []
    return [*wall, "-r", str(plan.rounds), *plan.rows]


def _measurer(run: Run, plan: Plan) -> Callable[[], tuple[BenchLog, tuple[str, ...]]]:
    """Return what measures once; all that has to be made for it is there when this returns."""
    program = _program(run)
    if plan.where == HOST:
        return lambda: (_on_host(run, plan, program), ())
    machines = testbed(run, plan)
    return lambda: _in_guest(run, plan, machines)


# --- on the host -------------------------------------------------------------------------


def _on_host(run: Run, plan: Plan, program: BuiltSuite) -> BenchLog:
    if plan.clock == INSN:
        raise UserError(
            "the host's clock does not count instructions",
            hint="use --clock wall with --where host",
        )
    argv = [str(program.path / PROGRAM), *_words(plan)]
    done = process.run(argv, deadline=run.deadline.sooner(RUN_SECONDS), check=False)
    return checked(log.parse(done.text.splitlines()))


# --- in a guest --------------------------------------------------------------------------


def testbed(run: Run, plan: Plan) -> MachinePool:
    """Return where machines for a plan come from; to count instructions takes special ones."""
    image, accelerator = run.image, run.accelerator
    if plan.clock == INSN:
        if accelerator.name != "tcg":
            raise UserError("only an emulated machine counts instructions", hint="add --accel tcg")
        # One processor: with two, which of them runs when is not for the guest to say.
        image = dataclasses.replace(image, cpus=1)
        accelerator = dataclasses.replace(accelerator, icount=SHIFT)
    # Booted each time: a saved machine would repeat the state of its memory, and hide its spread.
    maker = dataclasses.replace(run.testbed.maker, image=image, accelerator=accelerator)
    return dataclasses.replace(run.testbed, maker=maker, snapshots=False)


def _in_guest(run: Run, plan: Plan, machines: MachinePool) -> tuple[BenchLog, tuple[str, ...]]:
    """Measure in a fresh machine; return what came of it, and QEMU's command."""
    with machines.boot() as (machine, session):
        log = _measure_in(run, plan, session)
        if complaints := machine.splats():
            raise KernelError(
                f"the kernel complained while it was measured: {complaints[0].title}",
                detail=complaints[0].text.splitlines(),
                log=machine.spec.console_log,
            )
        return log, portable(qemu_argv.argv(machine.spec))


def install(run: Run, session: GuestSession) -> None:
    """Copy the programs into a guest, and load the module that counts."""
    session.put(_program(run).path, f"{guest_program.FOLDER}/{SUITE}", deadline=run.deadline)
    # A kernel without the series has none; its rows are counted in user space then.
    session.run("modprobe -q doorbell", deadline=run.deadline)


def _measure_in(run: Run, plan: Plan, session: GuestSession) -> BenchLog:
    install(run, session)
    # It tells the clock, too, so it runs even where no row of its own is wanted.
    text = _run_in(run, session, PROGRAM, _words(plan))
    if plan.with_qemu:
        text += _run_in(run, session, QEMU_PROGRAM, [str(plan.rounds), *plan.rows])
    (run.folder / "bench.log").write_text("\n".join(text) + "\n")
    return checked(log.parse(text))


def _run_in(run: Run, session: GuestSession, program: str, words: Sequence[str]) -> list[str]:
    result = session.run(
        f"cd {guest_program.FOLDER}/{SUITE} && exec {shlex.join([f'./{program}', *words])}",
        deadline=run.deadline.sooner(RUN_SECONDS),
    )
    lines = result.text.splitlines()
    if result.status not in (0, 1):  # 1: it says itself which rows failed
        ended = f"signal {result.signal}" if result.signal else f"exit status {result.status}"
        raise InfrastructureError(
            f"{program} failed in the guest with {ended}",
            detail=result.stderr.decode(errors="replace").splitlines()[-20:],
        )
    return lines


def checked(log: BenchLog) -> BenchLog:
    """Return a log with nothing amiss; raise for rows that failed, or an end that is missing."""
    if log.failed:
        raise KernelError(
            f"{len(log.failed)} rows of the benchmark failed",
            hint="EBADMSG: rings got lost or came twice; EINTR: the guest hung",
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
