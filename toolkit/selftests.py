"""Run the programs of a suite in guests, and hand back what each one said.

A machine serves one program after another until one of them breaks it: a panic, a hang or a
splat costs exactly that program, the next one gets a fresh machine.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from toolkit import modalias
from toolkit.console import MARK
from toolkit.deadline import Deadline
from toolkit.errors import DeadlineError, MachineLostError
from toolkit.guest import GuestSession
from toolkit.machine import Machine
from toolkit.model import KernelBuild, Outcome, RawRun, TestProgram

FOLDER = "/kselftest"  # where suites lie in the guest
_DEVICES = "cat $(find /sys/devices -name modalias)"
_EVIDENCE = "for key in w l; do echo $key >/proc/sysrq-trigger; done"
_EVIDENCE_SECONDS = 5.0
_RESULT = re.compile(rb"(not )?ok\b")
_STREAM_LIMIT = 8 << 20  # bytes of output kept from one program

OnLine = Callable[[TestProgram, str], None]
Booted = tuple[Machine, GuestSession]
Boot = Callable[[], AbstractContextManager[Booted]]


def load_kernel(session: GuestSession, kernel: KernelBuild, deadline: Deadline) -> None:
    """Give the guest the modules of its kernel and load those its hardware asks for.

    That is what udev does when a machine starts, and it picks kvm_amd or kvm_intel.
    """
    if kernel.modules is None:
        return
    session.put_archive(kernel.modules.read_bytes(), "/", deadline=deadline)
    devices = session.check(_DEVICES, deadline=deadline).text.splitlines()
    names = modalias.wanted(modalias.read_aliases(kernel.modules), devices)
    if names:
        session.check(f"modprobe -a {shlex.join(names)}", deadline=deadline)


def install(session: GuestSession, suite: str, path: Path, deadline: Deadline) -> None:
    """Copy an installed suite into the guest."""
    session.put(path, f"{FOLDER}/{suite}", deadline=deadline)


@dataclass(slots=True)
class _Current:
    """The machine in use, or none."""

    boot: Boot
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    booted: Booted | None = None

    def get(self) -> Booted:
        if self.booted is None:
            self.booted = self.stack.enter_context(self.boot())
        return self.booted

    def drop(self) -> None:
        self.booted = None
        self.stack.close()


def run(
    programs: Sequence[TestProgram],
    boot: Boot,
    *,
    environment: dict[str, str],
    deadline: Deadline,
    on_line: OnLine,
) -> Iterator[RawRun]:
    """Run each program and yield what it gave, in order.

    ``boot`` gives a machine with kernel modules and suites in place. ``on_line`` hears each
    line of a program's output as it comes. Raises :class:`MachineLostError` when a machine
    goes away and the kernel did not say why; what was yielded before stands.
    """
    current = _Current(boot)
    try:
        for program in programs:
            machine, session = current.get()
            raw = run_program(
                machine,
                session,
                program,
                environment=environment,
                deadline=deadline,
                on_line=on_line,
            )
            if raw.outcome is not Outcome.COMPLETED or raw.splats:
                current.drop()
            yield raw
    finally:
        current.drop()


def run_program(
    machine: Machine,
    session: GuestSession,
    program: TestProgram,
    *,
    environment: dict[str, str],
    deadline: Deadline,
    on_line: OnLine,
) -> RawRun:
    """Run one program to its end, its timeout or the machine's death."""
    before = len(machine.splats())
    began = time.monotonic()
    output = _Output(lambda line: on_line(program, line), began)
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    command = (
        f"cd {FOLDER}/{shlex.quote(program.suite)} && "
        f"exec env {settings} ./{shlex.quote(program.name)}"
    )
    outcome, note, status, signal = Outcome.COMPLETED, "", None, None
    limit = deadline.sooner(program.timeout)
    try:
        result = session.run(
            command, deadline=limit, on_stdout=output.stdout, on_stderr=output.stderr
        )
        status, signal = result.status, result.signal
        _synchronise(machine, session, deadline)
    except DeadlineError:
        outcome, note = Outcome.TIMED_OUT, f"did not end within {limit.budget:.0f} s"
        _evidence(session)
    except MachineLostError as error:
        machine.settle()
        if not machine.kernel_ended():
            raise
        outcome, note = Outcome.PANICKED, machine.dead() or error.what
    return RawRun(
        suite=program.suite,
        program=program.name,
        outcome=outcome,
        exit_status=status,
        signal=signal,
        stdout=output.text(output.out),
        stderr=output.text(output.err),
        seconds=time.monotonic() - began,
        splats=machine.splats()[before:],
        marks=tuple(output.marks),
        note=note,
    )


def _evidence(session: GuestSession) -> None:
    """Have a guest that hangs print its blocked tasks and backtraces (Documentation/sysrq.rst)."""
    with contextlib.suppress(DeadlineError, MachineLostError):
        session.run(_EVIDENCE, deadline=Deadline.after(_EVIDENCE_SECONDS))


def _synchronise(machine: Machine, session: GuestSession, deadline: Deadline) -> None:
    """Wait until the console has all that the kernel said up to now.

    The serial line is slower than SSH: a warning that a program caused may still be on its
    way when the program has ended. So a line is sent after it through /dev/kmsg.
    """
    mark = f"{MARK} {secrets.token_hex(4)}"
    seen = machine.expect(mark.encode())
    with contextlib.suppress(DeadlineError, MachineLostError):
        session.run(f"echo '{mark}' >/dev/kmsg", deadline=deadline.sooner(_EVIDENCE_SECONDS))
        seen.wait(_EVIDENCE_SECONDS)


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
