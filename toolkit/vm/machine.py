"""One virtual machine: started, watched, stopped.

A thread follows the console file, feeds the splat scanner, and so knows the moment the
kernel panics. QEMU is an ordinary child bound to the toolkit's life (:mod:`toolkit.host.process`).
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from toolkit.core.clock import clock
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, DeadlineError, MachineLostError, UserError
from toolkit.core.model.machine import MachineSpec, Splat
from toolkit.core.text import size
from toolkit.formats.kernel_log import ConsoleScanner
from toolkit.host import process
from toolkit.vm import kernel_log, qemu_argv
from toolkit.vm.qmp import Monitor

# drivers/char/random.c, add_vmfork_randomness(): the random pool of a restored machine is fresh.
RESEEDED = b"random: crng reseeded due to virtual machine fork"
READY = b"toolkit: ready"  # what every image's init prints once SSH listens
_POLL = 0.02  # seconds between looks at the console
_EAGER = 0.004  # while somebody waits for words on it
_MIGRATION_POLL = 0.002
_SETTLE = 2.0  # seconds a dying kernel gets to print the rest of its report
_QUIT = 2.0
_STATE_SECONDS = 60.0  # for QEMU to write or to read the state of its devices
_STATE = "state"  # what QEMU calls the file
# Memory that is a file stays where it is; everything else goes through the state.
_CAPABILITIES = [{"capability": "x-ignore-shared", "state": True}]
_CONSOLE = 1 << 20  # bytes of the console that a test program's evidence may have
_CHUNK = 1 << 20  # bytes of the console that are read at a time
_CONSOLE_LIMIT = 64 << 20  # bytes that a machine's console may take on the host's disk
_TERMINATED = re.compile(r"terminating on (signal \d+)")  # system/runstate.c, qemu_kill_report()
_TAIL = 25  # console lines an error carries


@dataclass(slots=True)
class _Expectation:
    """Words that somebody waits for on the console; they may come in several pieces."""

    words: bytes
    event: threading.Event = field(default_factory=threading.Event)
    tail: bytes = b""

    def found_in(self, chunk: bytes) -> bool:
        """Take the next piece of the console; set the event if the words are there now."""
        text = self.tail + chunk
        if self.words in text:
            self.event.set()
            return True
        self.tail = text[-len(self.words) :]
        return False


class Machine:
    """A running QEMU. Made by :func:`start`, which also stops it."""

    def __init__(
        self, spec: MachineSpec, child: process.Child, monitor: Monitor, port: int
    ) -> None:
        self.spec = spec
        self.ssh_port = port
        self._child = child
        self._monitor = monitor
        self._scanner = ConsoleScanner()
        self._lock = threading.Lock()
        self._expected: list[_Expectation] = []
        self._ready = self.expect(RESEEDED if spec.incoming else READY)
        self._fatal = threading.Event()
        self._flooded = threading.Event()
        self._stop = threading.Event()
        self._offset = 0
        self._stopped_since: float | None = None
        self._stopped_before = 0.0  # seconds, until it went on the last time
        self._thread = threading.Thread(target=self._follow, name="console", daemon=True)
        self._thread.start()

    # --- console ---------------------------------------------------------------------

    def _follow(self) -> None:
        ticked = time.monotonic()
        while not self._stop.is_set():
            ticked = clock.tick(ticked)
            # Whether QEMU has ended must be asked before the last read, not after it.
            ended = self._child.poll() is not None
            self._note_stop()
            if not self._read_console() and ended:
                break
            self._stop.wait(_EAGER if self._expected else _POLL)
        with self._lock:
            self._notice(self._scanner.close())

    def _read_console(self) -> bool:
        try:
            # Most looks find nothing new; read(_CHUNK) would take that much memory each time.
            fresh = self.spec.console_log.stat().st_size - self._offset
            if fresh <= 0:
                return False
            with self.spec.console_log.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(min(fresh, _CHUNK))
        except FileNotFoundError:
            return False
        if not chunk:
            return False
        with self._lock:
            self._offset += len(chunk)
            # The scanner first: whoever waits for words on the console needs what came before them.
            self._notice(self._scanner.feed(chunk))
            if self._offset > _CONSOLE_LIMIT:
                self._flooded.set()
            self._expected = [item for item in self._expected if not item.found_in(chunk)]
        return True

    def expect(self, words: bytes) -> threading.Event:
        """Return an event that is set once ``words`` come up on the console, from now on."""
        expectation = _Expectation(words)
        with self._lock:
            self._expected.append(expectation)
        return expectation.event

    def _notice(self, splats: list[Splat]) -> None:
        if any(splat.fatal for splat in splats):
            self._fatal.set()

    def splats(self) -> tuple[Splat, ...]:
        """Return what the kernel has complained of so far."""
        with self._lock:
            return tuple(self._scanner.splats)

    def settle(self) -> tuple[Splat, ...]:
        """Return the splats of a machine that died, once its last words are read."""
        end = Deadline.after(_SETTLE)
        while self._thread.is_alive() and not end.expired():
            self._thread.join(_POLL)
        return self.splats()

    def console(self, start: int = 0) -> str:
        """Return what came up on the console from byte ``start`` on, bounded."""
        with contextlib.suppress(FileNotFoundError), self.spec.console_log.open("rb") as file:
            file.seek(start)
            return file.read(_CONSOLE).decode(errors="replace")
        return ""

    def console_size(self) -> int:
        """Return how many bytes have come up on the console."""
        return self.spec.console_log.stat().st_size

    def console_tail(self) -> list[str]:
        """Return the last lines of the console."""
        with contextlib.suppress(FileNotFoundError), self.spec.console_log.open("rb") as file:
            file.seek(max(0, self.console_size() - (1 << 16)))  # a flooded one has 64 MiB
            return file.read(1 << 16).decode(errors="replace").splitlines()[-_TAIL:]
        return []

    # --- life ------------------------------------------------------------------------

    def dead(self) -> str:
        """Return "" while the machine runs, else the reason why it does not."""
        if self._fatal.is_set():
            fatal = next(splat for splat in self.splats() if splat.fatal)
            return f"the kernel ended with: {fatal.title}"
        if (status := self._child.poll()) is not None:
            if ended := self._terminated() or (_ending(status) if status else ""):
                return f"QEMU {ended}"
            return "the guest rebooted or powered off"
        if self._flooded.is_set():
            return f"more than {size(_CONSOLE_LIMIT)} came up on the console"
        return ""

    def _terminated(self) -> str:
        """Return what QEMU says of a signal on which it ended with status 0, "" without one."""
        endings = (_TERMINATED.search(line) for line in reversed(_stderr(self.spec)))
        return next((f"was ended by {match[1]}" for match in endings if match), "")

    def _note_stop(self) -> None:
        stopped, now = process.stopped(self._child), time.monotonic()
        if stopped is None:
            return
        with self._lock:
            if self._stopped_since is not None:
                self._stopped_before += now - self._stopped_since
            self._stopped_since = now if stopped else None

    def stopped(self) -> float:
        """Return for how many seconds QEMU has been stopped (SIGSTOP), which its guest has lost."""
        with self._lock:
            since = self._stopped_since
            return self._stopped_before + (0.0 if since is None else time.monotonic() - since)

    def lost(self) -> float:
        """Return for how many seconds QEMU was stopped, or got no CPU of a busy host."""
        return self.stopped() + process.waited(self._child)

    def kernel_ended(self) -> bool:
        """Return whether what ran in the machine ended it: a panic, a reset, a power-off, a flood.

        QEMU, started with -no-reboot, exits with 0 for a reset and a power-off; a signal or another
        status is QEMU's own end.
        """
        if self._fatal.is_set() or self._flooded.is_set():
            return True
        return self._child.poll() == 0 and not self._terminated()

    def wait_ready(self, deadline: Deadline) -> None:
        """Wait until the image says that it is ready.

        Raises :class:`BootError` when the kernel panics, powers off or is not ready
        before the deadline, :class:`MachineLostError` when QEMU itself fails or was stopped, and
        :class:`UserError` when the console does not show all that the kernel logs.
        """
        wait = deadline.wait(self.lost)
        while not self._ready.wait(_POLL):
            if self.dead():
                self.settle()
                raise self._boot_failure()
            if wait.expired():
                if self.stopped() >= deadline.budget:
                    raise MachineLostError(
                        f"QEMU was stopped (SIGSTOP) for {self.stopped():.0f} s while it booted",
                        hint="run again; nothing is known of the kernel",
                    )
                raise BootError(
                    f"the kernel did not come up within {deadline.budget:.0f} s",
                    hint="console.log has all it printed; does it hang at the last line?",
                    detail=self.console_tail(),
                    log=self.spec.console_log,
                )
        if kernel_log.STARTED not in self.spec.console_log.read_bytes():
            raise UserError(
                f"the console does not show the kernel's messages of KERN_{kernel_log.LEVELS[-1]}",
                hint=f"the command line is: {' '.join(self.spec.cmdline)}",
                detail=self.console_tail(),
            )

    def save(self, file: IO[bytes], deadline: Deadline) -> None:
        """Stop the machine for good and write all of it but its memory to ``file``.

        The memory is in the spec's file already. Raises :class:`MachineLostError` when QEMU
        cannot save this machine, with its reason.
        """
        self._monitor.command("stop")
        self._monitor.command("migrate-set-capabilities", capabilities=_CAPABILITIES)
        self._monitor.send_file(_STATE, file)
        self._monitor.command("migrate", uri=f"fd:{_STATE}")
        self._migrated(deadline)

    def restore(self, file: IO[bytes], deadline: Deadline) -> None:
        """Resume what :meth:`save` wrote; the spec has ``incoming`` set.

        Returns once the kernel's random pool is reseeded. Raises :class:`MachineLostError`
        when QEMU refuses the state or the machine does not go on.
        """
        self._monitor.command("migrate-set-capabilities", capabilities=_CAPABILITIES)
        self._monitor.send_file(_STATE, file)
        self._monitor.command("migrate-incoming", uri=f"fd:{_STATE}")
        self._migrated(deadline)
        self._monitor.command("cont")
        wait = deadline.sooner(_STATE_SECONDS).wait()
        while not self._ready.wait(_POLL):
            if reason := self.dead():
                raise MachineLostError(f"the restored machine is gone: {reason}")
            if wait.expired():
                raise MachineLostError(
                    "the restored machine did not reseed its random pool",
                    hint="its kernel needs CONFIG_VMGENID",
                )

    def pause(self) -> None:
        """Stop the machine's processors and its clock; raises :class:`MachineLostError`."""
        self._monitor.command("stop")

    def resume(self) -> None:
        """Have a machine go on that was paused; raises :class:`MachineLostError`."""
        self._monitor.command("cont")

    def _migrated(self, deadline: Deadline) -> None:
        wait = deadline.sooner(_STATE_SECONDS).wait()
        while True:
            answer = self._monitor.command("query-migrate")
            status = answer.get("status")
            if status == "completed":
                return
            if status == "failed" or wait.expired():
                why = answer.get("error-desc", "no reason given" if status == "failed" else "slow")
                raise MachineLostError(f"QEMU did not carry the machine's state over: {why}")
            time.sleep(_MIGRATION_POLL)

    def _boot_failure(self) -> BootError | MachineLostError:
        fatal = next((splat for splat in self.splats() if splat.fatal), None)
        log = self.spec.console_log
        if fatal:
            lines = fatal.text.splitlines()
            return BootError(f"the kernel died while booting: {fatal.title}", detail=lines, log=log)
        status = self._child.poll()
        if status is None:
            return BootError(f"{self.dead()} while the kernel booted", log=log)
        if status == 0 and not self._terminated():
            return BootError(
                "the machine powered off or rebooted before it was ready",
                hint="console.log has what led to it",
                detail=self.console_tail(),
                log=log,
            )
        return MachineLostError(
            f"QEMU {self._terminated() or _ending(status)} while the kernel booted",
            hint="qemu.log beside the console has QEMU's own words",
            detail=_stderr(self.spec) or self.console_tail(),
        )

    def close(self) -> None:
        """End the machine: ask QEMU, then terminate it, then kill it."""
        if self._child.poll() is None:
            with contextlib.suppress(MachineLostError):
                self._monitor.command("quit")
            process.wait(self._child, _QUIT)
        self._monitor.close()
        process.stop(self._child)
        self._stop.set()
        self._thread.join()
        while self._read_console() and not self._flooded.is_set():
            pass


@contextlib.contextmanager
def start(spec: MachineSpec, deadline: Deadline) -> Iterator[Machine]:
    """Start QEMU and yield the machine while it boots; on leaving it is stopped.

    QEMU's own messages go to ``qemu.log`` beside the console. Raises
    :class:`MachineLostError` with them when QEMU does not start.
    """
    spec.console_log.touch()
    with _qemu_log(spec).open("wb") as log:
        child = process.start(qemu_argv.argv(spec), stdout=log, stderr=log)
    try:
        try:
            monitor = Monitor.connect(spec.qmp_socket, lambda: child.poll() is None, deadline)
            port = qemu_argv.forwarded_port(monitor.human("info usernet"))
        except (MachineLostError, DeadlineError) as error:
            ended = child.poll()
            process.stop(child)
            raise MachineLostError(
                f"QEMU did not start: {error.what if ended is None else 'it ' + _ending(ended)}",
                hint=f"the command is: {spec.binary} …; see {_qemu_log(spec)}",
                detail=_stderr(spec),
            ) from error
        machine = Machine(spec, child, monitor, port)
        try:
            yield machine
        finally:
            machine.close()
    finally:
        process.stop(child)


def _qemu_log(spec: MachineSpec) -> Path:
    return spec.console_log.with_name(spec.console_log.stem + "-qemu.log")


def _stderr(spec: MachineSpec) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return _qemu_log(spec).read_text(errors="replace").splitlines()[-_TAIL:]
    return []


def _ending(status: int | None) -> str:
    if status is None:
        return "still runs"
    return f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
