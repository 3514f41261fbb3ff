"""The only module that starts processes.

Every child leads a process group of its own, so that ^C at the terminal reaches the toolkit
alone and the toolkit decides in which order things stop. Every child is also bound to the
toolkit's life with the parent-death signal (prctl(2), set by util-linux' setpriv): even after
``kill -9`` of the toolkit nothing of it stays behind, but for a child in the milliseconds before
setpriv has run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, ToolMissingError
from toolkit.core.text import size
from toolkit.host import recording
from toolkit.host.recording import Command

Child = subprocess.Popen[bytes]

TAIL_LINES = 40  # how much of a failed tool's output its error carries
READ_SIZE = 1 << 16
_LOOK, _LAST_LOOK = 0.5, 0.2  # seconds between two looks whether there is time left
_LIMIT = 256 << 20  # bytes; a child that is run to its end and writes more has lost its way
_SIGNALLED = 128  # a shell's exit status for a command that a signal killed, less its number
PIPE = subprocess.PIPE  # for start(), whose caller reads the stream itself
# What a shell or an outer make left in the environment must not steer a kernel build.
REMOVED = ("LANGUAGE", "MAKEFLAGS", "MAKELEVEL", "KBUILD_OUTPUT", "ARCH", "CROSS_COMPILE")
CLEAN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")  # to inherit: of the rest no key knows


@dataclass(frozen=True, slots=True)
class Grace:
    """How long each step of stopping a process may take, in seconds."""

    terminate: float = 5.0
    kill: float = 5.0


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended: its status (negative: the signal) and what it wrote."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode(errors="replace")


@functools.cache
def _search_path(program: str, path: str) -> str | None:
    return shutil.which(program, path=path)


def find(program: str, package: str = "") -> str:
    """Return the full path of a host program; raise :class:`ToolMissingError` without it."""
    # Debian keeps some administrator's tools out of an ordinary user's PATH.
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/sbin"
    place = _search_path(program, path)
    if place is None:
        raise ToolMissingError(program, package)
    return place


def environment(
    extra: Mapping[str, str | None] | None = None, inherit: Collection[str] | None = None
) -> dict[str, str]:
    """Return the environment for a child: the caller's, with messages in plain English.

    With ``inherit`` the child gets only the variables of these names from the caller. ``extra`` is
    added; a variable whose value is None is removed.
    """
    env = {name: value for name, value in os.environ.items() if inherit is None or name in inherit}
    for name in [name for name in env if name.startswith("LC_")]:
        del env[name]
    for name in REMOVED:
        env.pop(name, None)
    env["LC_ALL"] = "C.UTF-8"
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


class _Spawner:
    """Starts children from one thread that lives as long as the toolkit.

    The parent-death signal fires when the *thread* that forked ends (prctl(2)), so a child
    started by a short-lived worker would die with that worker.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Child], Future[Any]]]
        self._jobs = queue.SimpleQueue()
        threading.Thread(target=self._work, name="spawner", daemon=True).start()

    def _work(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except Exception as error:  # noqa: BLE001 - its caller waits, and so would all others
                future.set_exception(error)

    def spawn(self, job: Callable[[], Child]) -> Child:
        future: Future[Child] = Future()
        self._jobs.put((job, future))
        while True:
            try:
                return future.result()
            except KeyboardInterrupt:
                # The child may already run: take hold of it before leaving.
                stop(future.result())
                raise


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()
_children: dict[Child, Command] = {}


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    inherit: Collection[str] | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
    stderr: IO[bytes] | int = subprocess.DEVNULL,
    death_signal: str = "KILL",
    within: Sequence[str] = (),
    input_size: int = 0,
) -> Child:
    """Start ``argv`` and return at once; the caller stops it with :func:`stop`.

    ``env`` and ``inherit`` are as in :func:`environment`. ``death_signal`` is what the child gets
    when the toolkit dies. ``within`` are the words of a sandbox
    (:func:`toolkit.host.sandbox.confine`), which is killed then with all in it. ``input_size`` says
    for the record what ``stdin`` holds. Raises
    :class:`ToolMissingError` when the program does not exist and :class:`InfrastructureError` when
    it cannot be started.
    """
    global _spawner
    program = argv[0] if os.sep in argv[0] else find(argv[0])
    if not Path(program).exists():
        raise ToolMissingError(program)
    full = [find("setpriv", "util-linux"), "--pdeathsig", "KILL" if within else death_signal]
    full += ["--", *within, program, *argv[1:]]
    with _spawner_lock:
        _spawner = _spawner or _Spawner()
    words = [program, *argv[1:]]
    command = _described(
        words, cwd=cwd, env=env, inherit=inherit, within=within, input_size=input_size
    )
    recording.started(command)
    try:
        child = _spawner.spawn(
            lambda: subprocess.Popen(
                full,
                cwd=cwd,
                env=environment(env, inherit),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        )
    except (OSError, ValueError) as error:  # the latter: a word with a NUL, or that is no text
        recording.ended(command, None)
        raise InfrastructureError(f"cannot start {argv[0]}: {error}") from error
    _children[child] = command
    return child


def _described(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str | None] | None,
    inherit: Collection[str] | None,
    within: Sequence[str],
    input_size: int,
) -> Command:
    changes = dict(env or {}) if inherit is None else environment(env, inherit)
    settings = {name: value for name, value in changes.items() if value is not None}
    removed = tuple(name for name, value in changes.items() if value is None and name in os.environ)
    return Command(
        argv=tuple(argv),
        cwd=cwd,
        settings=settings,
        only_settings=inherit is not None,
        removed=removed,
        within=tuple(within),
        input=input_size,
        began=time.monotonic(),
    )


def name_of(child: Child) -> str:
    """Return the name of the program that ``child``, which was not stopped yet, runs."""
    command = _children.get(child)
    return Path(command.argv[0]).name if command else "a command"


def _signal_group(child: Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def wait(child: Child, seconds: float) -> bool:
    """Wait until a child has ended, for ``seconds`` at most; return whether it has."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def stopped(child: Child) -> bool | None:
    """Return whether a child was stopped (SIGSTOP) since this was asked before, or goes on (False).

    None where neither has happened, or it has ended.
    """
    with contextlib.suppress(ChildProcessError):
        event = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        if event is not None:
            return event.si_code != os.CLD_CONTINUED
    return None


def waited(child: Child) -> float:
    """Return for how many seconds a child has been ready to run and got no CPU of this host.

    That is its thread that waited longest (Documentation/scheduler/sched-stats.rst); 0.0 for a
    child that has ended, or where the kernel does not say.
    """
    longest = 0
    for file in Path(f"/proc/{child.pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            longest = max(longest, int(file.read_text().split()[1]))
    return longest / 1e9


def stop(child: Child, grace: Grace | None = None) -> int:
    """Stop a child and its process group: terminate, then kill; return its exit status."""
    grace = grace or Grace()
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        if not wait(child, grace.terminate):
            _signal_group(child, signal.SIGKILL)
            child.wait(grace.kill)
    # The leader is gone; whatever it left in its group goes too.
    _signal_group(child, signal.SIGKILL)
    if command := _children.pop(child, None):
        recording.ended(command, child.returncode)
    return child.returncode


def stop_all() -> None:
    """Stop every child that still runs, for a caller that is about to leave."""
    for child in list(_children):
        stop(child, Grace(terminate=2.0))


def run(
    argv: Sequence[str],
    *,
    deadline: Deadline,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    inherit: Collection[str] | None = None,
    input: bytes | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    merge: bool = False,
    check: bool = True,
    death_signal: str = "KILL",
    within: Sequence[str] = (),
) -> Completed:
    """Run ``argv`` to its end and return what it wrote.

    ``merge`` sends standard error where standard output goes, in order; ``on_line`` gets each
    finished line of standard output, and ``log`` gets both streams appended. With ``check`` a
    failure raises :class:`ToolFailedError` with the last lines. When the deadline passes the
    child is stopped and :class:`DeadlineError` raised; one that writes without end is stopped with
    an :class:`InfrastructureError`. On ^C it is stopped too.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stdin: IO[bytes] | int = subprocess.DEVNULL
        if input is not None:
            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(input)
            stdin.seek(0)
        sink = stack.enter_context(log.open("ab")) if log else None
        child = start(
            argv,
            cwd=cwd,
            env=env,
            inherit=inherit,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            death_signal=death_signal,
            within=within,
            input_size=len(input or b""),
        )
        try:
            out, err = _collect(child, deadline, sink, on_line)
        finally:
            stop(child)
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()
    status = child.returncode
    if within and status > _SIGNALLED:  # the shell that waits in there tells of a signal so
        status = _SIGNALLED - status
    done = Completed(tuple(argv), status, out, err, time.monotonic() - began)
    if check and done.status != 0:
        text = (done.stdout if merge else done.stderr or done.stdout).decode(errors="replace")
        raise ToolFailedError(argv, done.status, output=text.splitlines()[-TAIL_LINES:], log=log)
    return done


def _collect(
    child: Child,
    deadline: Deadline,
    sink: IO[bytes] | None,
    on_line: Callable[[str], None] | None,
) -> tuple[bytes, bytes]:
    """Read both streams until they close and the child is gone."""
    parts: dict[str, list[bytes]] = {"out": [], "err": []}
    pending, written = b"", 0
    pidfd, wait = os.pidfd_open(child.pid), deadline.wait()
    try:
        with selectors.DefaultSelector() as selector:
            for stream, name in ((child.stdout, "out"), (child.stderr, "err")):
                if stream:
                    selector.register(stream, selectors.EVENT_READ, name)
            selector.register(pidfd, selectors.EVENT_READ, "exit")
            exited = False
            while not exited or selector.get_map():
                # A grandchild may hold a pipe open for ever: stop listening once the child is gone.
                patience = min(_LOOK, max(_LAST_LOOK, deadline.remaining()))
                events = selector.select(_LAST_LOOK if exited else patience)
                if not events and exited:
                    break
                for key, _ in events:
                    if key.data == "exit":
                        exited = True
                        selector.unregister(pidfd)
                        continue
                    chunk = os.read(key.fd, READ_SIZE)
                    if not chunk:
                        selector.unregister(key.fileobj)
                        continue
                    written += len(chunk)
                    if written > _LIMIT:
                        raise InfrastructureError(f"{name_of(child)} wrote over {size(_LIMIT)}")
                    parts[key.data].append(chunk)
                    if sink:
                        sink.write(chunk)
                        sink.flush()
                    if on_line and key.data == "out":
                        *lines, pending = (pending + chunk).split(b"\n")
                        for line in lines:
                            on_line(line.decode(errors="replace").rstrip("\r"))
                if not exited:
                    wait.check(name_of(child))
    finally:
        os.close(pidfd)
    if on_line and pending:
        on_line(pending.decode(errors="replace"))
    child.wait()
    return b"".join(parts["out"]), b"".join(parts["err"])
