"""Run one program of a suite in a guest, and hand back what it and the kernel said."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, MachineLostError
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import BuiltSuite, Outcome, RawRun, TestProgram
from toolkit.core.text import visible
from toolkit.formats import elf, kselftest_harness
from toolkit.vm import coldplug
from toolkit.vm.machine import Machine
from toolkit.vm.ssh import GuestSession

FOLDER = "/kselftest"  # where suites lie in the guest
_EVIDENCE = "for key in w l; do echo $key >/proc/sysrq-trigger; done"
_EVIDENCE_SECONDS = 5.0
_RESULT = re.compile(rb"(not )?ok\b")
_KMEMLEAK = (
    "cd /sys/kernel/debug && sleep 6 && echo scan >kmemleak && echo scan >kmemleak && cat kmemleak"
)
_LEAKS_LIMIT = 64 << 10  # characters
_STREAM_LIMIT = 8 << 20  # bytes of output kept from one program

OnLine = Callable[[TestProgram, str], None]


class Witness(Protocol):
    """Looks into the guest's kernel around each program: :class:`toolkit.testing.gcda.Counters`."""

    def before(self, session: GuestSession, deadline: Deadline) -> None:
        """Get ready for a program."""

    def after(
        self, session: GuestSession, program: TestProgram, deadline: Deadline, *, late: bool = False
    ) -> None:
        """See what a program left; ``late``: it hung, and the guest may not answer."""

    def gone(self, program: TestProgram, why: str) -> None:
        """Hear that a program took its machine with it."""


def install(
    session: GuestSession, built: BuiltSuite, program: TestProgram, deadline: Deadline
) -> None:
    """Copy a program and what it needs into the guest."""
    names = {path.name for path in files(built, program)}
    session.put(built.path, _folder(built.name), deadline=deadline, only=names)


def files(built: BuiltSuite, program: TestProgram) -> list[Path]:
    """Return a program with every file and folder of its suite that is no program itself.

    A script may call any other program, so it comes with the whole suite.
    """
    others = {each.name for each in built.programs} - {program.name}
    if (built.path / program.name).read_bytes()[:4] != elf.MAGIC:
        others = set()
    return [path for path in sorted(built.path.iterdir()) if path.name not in others]


def _folder(suite: str) -> str:
    return f"{FOLDER}/{suite}"


def cases(
    session: GuestSession, built: BuiltSuite, program: TestProgram, deadline: Deadline
) -> tuple[str, ...]:
    """Return the cases of a program that can run one alone; none of any other program.

    The program is asked in the guest: it came of the series, and is not run on the host.
    """
    if kselftest_harness.MARK not in (built.path / program.name).read_bytes():
        return ()
    install(session, built, program, deadline)
    command = f"cd {shlex.quote(_folder(program.suite))} && ./{shlex.quote(program.name)}"
    limit = deadline.sooner(program.timeout)
    with contextlib.suppress(DeadlineError):  # it hangs, as it will when it runs as a whole
        asked = session.run(f"{command} {kselftest_harness.LIST}", deadline=limit)
        return kselftest_harness.cases(asked.stderr.decode(errors="replace"))
    return ()


def run_program(
    machine: Machine,
    session: GuestSession,
    program: TestProgram,
    *,
    environment: Mapping[str, str],
    deadline: Deadline,
    on_line: OnLine,
    leaks: bool = False,
    witness: Witness | None = None,
) -> RawRun:
    """Run one program to its end, its timeout or the machine's death.

    A splat from before its start counts against it, too: on a machine that had one, nothing that
    passes can be believed. With ``leaks`` the kernel's kmemleak looks for what the program left
    behind; a ``witness`` looks before and after. Raises :class:`MachineLostError` when the
    machine goes away and the kernel did not say why.
    """
    start = machine.console_size()
    if witness:
        witness.before(session, deadline)
    began = time.monotonic()
    output = _Output(lambda line: on_line(program, line), began)
    outcome, note, status, signal, report = Outcome.COMPLETED, "", None, None, ""
    limit = deadline.sooner(program.timeout)
    try:
        result = session.run(
            _command(program, environment),
            deadline=limit,
            on_stdout=output.stdout,
            on_stderr=output.stderr,
        )
        status, signal = result.status, result.signal
        if witness:
            witness.after(session, program, deadline)
        report = _leaks(session, deadline) if leaks else ""
        coldplug.synchronise(machine, session, deadline)
    except DeadlineError:
        outcome, note = Outcome.TIMED_OUT, f"did not end within {limit.budget:.0f} s"
        _evidence(session)
        if witness:
            witness.after(session, program, deadline, late=True)
    except MachineLostError as error:
        machine.settle()
        if not machine.kernel_ended():
            raise MachineLostError(machine.dead() or error.what) from error
        outcome, note = Outcome.PANICKED, machine.dead() or error.what
        if witness:
            witness.gone(program, note)
    return RawRun(
        suite=program.suite,
        program=program.name,
        outcome=outcome,
        exit_status=status,
        signal=signal,
        stdout=output.text(output.out),
        stderr=output.text(output.err),
        seconds=time.monotonic() - began,
        splats=tuple(_explained(splat, report) for splat in machine.splats()),
        marks=tuple(output.marks),
        note=note,
        console=machine.console(start),
        by_status=program.by_status,
        case=program.case,
    )


def _command(program: TestProgram, environment: Mapping[str, str]) -> str:
    """Return what a guest's shell is to run."""
    settings = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
    words = [kselftest_harness.SELECT, program.case] if program.case else []
    return (
        f"cd {shlex.quote(_folder(program.suite))} && "
        f"{settings}exec {shlex.join([f'./{program.name}', *words])}"
    )


def _leaks(session: GuestSession, deadline: Deadline) -> str:
    """Have kmemleak look for memory that nothing points to, and return its report.

    What it finds it also tells the console, where it is a splat. It takes two scans
    (mm/kmemleak.c: an object whose checksum is new counts as in use), and leaves alone what is
    younger than five seconds (MSECS_MIN_AGE).
    """
    return session.check(_KMEMLEAK, deadline=deadline).text[:_LEAKS_LIMIT]


def _explained(splat: Splat, report: str) -> Splat:
    """Return kmemleak's one line with its report below it."""
    if splat.kind != "kmemleak" or not report:
        return splat
    return replace(splat, text=f"{splat.text}\n{visible(report, keep=chr(10))}")


def _evidence(session: GuestSession) -> None:
    """Have a guest that hangs print its blocked tasks and backtraces (Documentation/sysrq.rst)."""
    with contextlib.suppress(DeadlineError, MachineLostError):
        session.run(_EVIDENCE, deadline=Deadline.after(_EVIDENCE_SECONDS))


@dataclass(slots=True)
class _Output:
    """Both streams of a program, bounded, with standard output cut into lines as it comes."""

    on_line: Callable[[str], None]
    began: float
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    marks: list[float] = field(default_factory=list)
    pending: bytes = b""

    def stdout(self, chunk: bytes) -> None:
        self.out += chunk[: max(0, _STREAM_LIMIT - len(self.out))]
        *lines, self.pending = (self.pending + chunk).split(b"\n")
        for line in lines:
            if _RESULT.match(line):
                self.marks.append(round(time.monotonic() - self.began, 3))
            self.on_line(line.decode(errors="replace"))

    def stderr(self, chunk: bytes) -> None:
        self.err += chunk[: max(0, _STREAM_LIMIT - len(self.err))]

    @staticmethod
    def text(data: bytearray) -> str:
        return data.decode(errors="replace")
