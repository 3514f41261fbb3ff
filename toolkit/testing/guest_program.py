"""Run one program of a suite in a guest, and return what it and the kernel printed."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from toolkit.core.clock import clock
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import BuiltSuite, Outcome, RawRun, TestProgram
from toolkit.core.text import visible
from toolkit.formats import elf, kselftest_harness, ktap
from toolkit.host.cache import digest
from toolkit.vm import coldplug
from toolkit.vm.machine import Machine

if TYPE_CHECKING:
    from toolkit.vm.ssh import GuestSession

FOLDER = "/kselftest"  # where suites lie in the guest
LIBRARIES = ".lib"  # the folder of a suite with what its dynamically linked programs need
_EVIDENCE = "for key in w l; do echo $key >/proc/sysrq-trigger; done"
_EVIDENCE_SECONDS = 5.0
_RESULT = re.compile(rb"(not )?ok\b")
_KMEMLEAK = (
    "cd /sys/kernel/debug && sleep 6 && echo scan >kmemleak && echo scan >kmemleak && cat kmemleak"
)
_NO_SSH = "it ended the guest's SSH server or network; the machine still ran"
# What a kernel reports whose clock went on while it could not run; soft lockups take it 20 s at
# least (kernel/watchdog.c), and some configurations less.
_STALLS = frozenset({"soft-lockup", "hard-lockup", "rcu-stall", "hung-task"})
_STOPPED_SECONDS = 5.0
_LEAKS_SECONDS = 300.0  # a large machine that is emulated takes a minute
_LEAKS_LIMIT = 64 << 10  # characters
_STREAM_LIMIT = 4 << 20  # bytes of output kept from one program
_LINE_LIMIT = 4 << 10  # bytes of a line that are shown while it runs
_LINES_SHOWN = 1000  # of one program, as they come; then one in a while
_SHOWN_SECONDS = 0.1

OnLine = Callable[[TestProgram, str], None]


class Witness(Protocol):
    """Looks into the guest's kernel around each program: :class:`toolkit.testing.gcda.Counters`."""

    def before(self, session: GuestSession, program: TestProgram, deadline: Deadline) -> None:
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
    session.put(built.path, f"{FOLDER}/{built.name}", deadline=deadline, only=names)


def files(built: BuiltSuite, program: TestProgram) -> list[Path]:
    """Return a program with every file and folder of its suite that is no program itself.

    A script may call any other program, so it comes with the whole suite, unless it is known to
    stand alone; and so does what lies in a folder of its own, because of what the suite has beside
    that.
    """
    others = {other.name for other in built.programs} - {program.name}
    content = _content(built, program)
    script = content[:4] != elf.MAGIC
    if program.folder or (script and not program.alone):
        others = set()
    elif not _is_dynamic(content):
        others.add(LIBRARIES)
    return [path for path in sorted(built.path.iterdir()) if path.name not in others]


def _is_dynamic(content: bytes) -> bool:
    try:
        return bool(elf.wants(content).interpreter)
    except ValueError:  # the kernel shall say what is wrong with it
        return True


def digests(built: BuiltSuite, program: TestProgram) -> dict[str, str]:
    """Return a digest of every file that comes with a program, by its path in the suite."""
    return {
        str(path.relative_to(built.path)): digest(path.read_bytes())
        for installed in files(built, program)
        for path in (sorted(installed.rglob("*")) if installed.is_dir() else [installed])
        if path.is_file()
    }


def folder(program: TestProgram) -> str:
    """Return the folder that a program runs in."""
    return "/".join(filter(None, (FOLDER, program.suite, program.folder)))


def _content(built: BuiltSuite, program: TestProgram) -> bytes:
    return (built.path / program.folder / program.name).read_bytes()


def cases(
    session: GuestSession, built: BuiltSuite, program: TestProgram, deadline: Deadline
) -> tuple[str, ...]:
    """Return the cases of a program that can run one alone; none of any other program.

    The program is asked in the guest: it came of the series, and is not run on the host.
    """
    if kselftest_harness.MARK not in _content(built, program):
        return ()
    install(session, built, program, deadline)
    command = f"cd {shlex.quote(folder(program))} && ./{shlex.quote(program.name)}"
    limit = _limit(program, deadline)
    with contextlib.suppress(DeadlineError):  # it hangs, as it will when it runs as a whole
        result = session.run(f"{command} {kselftest_harness.LIST}", deadline=limit)
        return kselftest_harness.cases(result.stderr.decode(errors="replace"))
    return ()


def _limit(program: TestProgram, deadline: Deadline) -> Deadline:
    return deadline.sooner(program.timeout) if program.timeout else deadline


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
    start, standstill = machine.console_size(), _standstill(machine)
    if witness:
        witness.before(session, program, deadline)
    began = time.monotonic()
    output = _Output(lambda line: on_line(program, line), began)
    ended = _run(
        machine,
        session,
        program,
        output,
        deadline,
        command=_command(program, environment),
        leaks=leaks,
        witness=witness,
    )
    splats = tuple(_explained(splat, ended.leaks) for splat in machine.splats())
    standstill = _standstill(machine) - standstill
    if standstill > _STOPPED_SECONDS and (ended.unseen or any(s.kind in _STALLS for s in splats)):
        raise _stopped(program, standstill)
    return RawRun(
        suite=program.suite,
        program=program.name,
        outcome=ended.outcome,
        exit_status=ended.status,
        signal=ended.signal,
        stdout=output.text(output.out),
        stderr=output.text(output.err),
        seconds=time.monotonic() - began,
        splats=splats,
        marks=tuple(output.marks),
        note=ended.note,
        console=machine.console(start),
        by_status=program.by_status,
        lacking=program.lacking,
        case=program.case,
        cut=output.dropped > 0,
    )


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a program ended, and what kmemleak reported then.

    ``unseen``: the guest could not be asked what its kernel logged; ``note`` says why.
    """

    outcome: Outcome
    status: int | None = None
    signal: str | None = None
    note: str = ""
    leaks: str = ""
    unseen: bool = False


def _run(
    machine: Machine,
    session: GuestSession,
    program: TestProgram,
    output: _Output,
    deadline: Deadline,
    *,
    command: str,
    leaks: bool,
    witness: Witness | None,
) -> _Ending:
    """Run the command to its end, and see to what is to be looked at while the machine is there."""
    limit, before = _limit(program, deadline), machine.lost()
    stopped = machine.stopped()

    def lost() -> float:
        return machine.lost() - before

    try:
        result = session.run(
            command,
            deadline=limit,
            on_stdout=output.stdout,
            on_stderr=output.stderr,
            keep=0,
            lost=lost,
        )
        if witness:
            witness.after(session, program, deadline)
        report = _leaks(session, deadline) if leaks else ""
        unseen = coldplug.synchronise(machine, session, deadline)
    except DeadlineError:
        stopped = machine.stopped() - stopped
        if stopped >= limit.budget:
            raise _stopped(program, stopped) from None
        _evidence(session)
        if witness:
            witness.after(session, program, deadline, late=True)
        return _Ending(Outcome.TIMED_OUT, note=f"did not end within {limit.budget:.0f} s")
    except MachineLostError as error:
        machine.settle()
        if machine.dead() and not machine.kernel_ended():
            raise MachineLostError(machine.dead()) from error
        note = machine.dead() or f"{_NO_SSH} ({error.what})"
        if witness:
            witness.gone(program, note)
        return _Ending(Outcome.PANICKED if machine.dead() else Outcome.LOST, note=note)
    except InfrastructureError as error:
        note = f"after the program, {error.what}"
        return _Ending(Outcome.COMPLETED, result.status, result.signal, note=note, unseen=True)
    note = unseen and f"after the program, {unseen}"
    return _Ending(
        Outcome.COMPLETED, result.status, result.signal, note, leaks=report, unseen=bool(unseen)
    )


def _standstill(machine: Machine) -> float:
    """Return for how many seconds a guest may have stood still whose own clock went on."""
    return machine.stopped() + clock.frozen()


def _stopped(program: TestProgram, seconds: float) -> MachineLostError:
    """Return the error for a program whose guest lost so much time that nothing can be said."""
    return MachineLostError(
        f"QEMU or the host was stopped for {seconds:.0f} s while {program.name} ran",
        hint="run again; a guest cannot tell that time from a kernel that hangs",
    )


def _command(program: TestProgram, environment: Mapping[str, str]) -> str:
    """Return what a guest's shell is to run."""
    variables = {**program.environment, **environment}
    settings = "".join(f"{name}={shlex.quote(value)} " for name, value in variables.items())
    words = [kselftest_harness.SELECT, program.case] if program.case else []
    launcher = [f"{FOLDER}/{program.suite}/{program.launcher}"] if program.launcher else []
    return (
        f"cd {shlex.quote(folder(program))} && "
        f"{settings}exec {shlex.join([*launcher, f'./{program.name}', *words])}"
    )


def _leaks(session: GuestSession, deadline: Deadline) -> str:
    """Have kmemleak look for memory that nothing points to, and return its report.

    What it finds it also tells the console, where it is a splat. It takes two scans
    (mm/kmemleak.c: an object whose checksum is new counts as in use), and leaves alone what is
    younger than five seconds (MSECS_MIN_AGE).
    """
    limit = deadline.sooner(_LEAKS_SECONDS)
    try:
        return session.check(_KMEMLEAK, deadline=limit).text[:_LEAKS_LIMIT]
    except DeadlineError as error:
        deadline.check("kmemleak")
        raise InfrastructureError(f"kmemleak did not end within {limit.budget:.0f} s") from error


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
    pending: bytearray = field(default_factory=bytearray)
    dropped: int = 0  # bytes of standard output
    lines: int = 0
    shown_at: float = 0.0

    def stdout(self, chunk: bytes) -> None:
        kept = chunk[: max(0, _STREAM_LIMIT - len(self.out))]
        self.out += kept
        self.dropped += len(chunk) - len(kept)
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._line(bytes(self.pending + end[:_LINE_LIMIT]))
            self.pending.clear()
        self.pending += rest[: max(0, _LINE_LIMIT - len(self.pending))]

    def _line(self, line: bytes) -> None:
        now = time.monotonic()
        if _RESULT.match(line) and len(self.marks) < ktap.MAX_REPORTS:
            self.marks.append(round(now - self.began, 3))
        self.lines += 1
        # What is shown of a flood is a line now and then.
        if self.lines <= _LINES_SHOWN or now - self.shown_at > _SHOWN_SECONDS:
            self.shown_at = now
            self.on_line(line.decode(errors="replace"))

    def stderr(self, chunk: bytes) -> None:
        self.err += chunk[: max(0, _STREAM_LIMIT - len(self.err))]

    @staticmethod
    def text(data: bytearray) -> str:
        """Return a stream as text, and let go of its bytes: several machines may have a flood."""
        text = data.decode(errors="replace")
        data.clear()
        return text
