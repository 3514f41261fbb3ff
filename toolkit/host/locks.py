"""Locks that runs share through files, each with a note of who holds it.

A lock falls with the process that holds it, however that ends. The note lies beside the lock's file
and is written by the holder; a killed one's is replaced by the next holder's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from toolkit.core.deadline import Deadline

T = TypeVar("T")
# Gets what a run waits for and who has it, and then the first with "" once the wait is over.
OnWait = Callable[[str, str], object]

_POLL = 0.05
_SILENT = 1.0  # seconds; a shorter wait is not worth a word
_MAX_COMMAND = 200  # characters
_NOTE = ".holder"  # instead of .lock


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. ``since`` is a Unix time, ``folder`` that of its run, "" without one."""

    pid: int
    command: str
    folder: str
    since: float

    def describe(self) -> str:
        """Return it in words: ``pid 812 since 14:02:11 (toolkit fetch -k …; run folder /…)``."""
        then = time.localtime(self.since)
        day = "" if then[:3] == time.localtime()[:3] else "%Y-%m-%d "
        folder = f"; run folder {self.folder}" if self.folder else ""
        since = time.strftime(f"{day}%H:%M:%S", then)
        return f"pid {self.pid} since {since} ({self.command}{folder})"


def this_command() -> str:
    """Return how this process was called."""
    return shlex.join(["toolkit", *sys.argv[1:]])


def ignore(_what: str, _whom: str) -> None:
    """Say nothing about a wait."""


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks below ``root``, as one run takes them.

    ``command`` and ``folder`` are what others are told of the run, ``on_wait`` hears when it has to
    wait itself.
    """

    root: Path
    command: str
    folder: str = ""
    on_wait: OnWait = ignore

    @contextlib.contextmanager
    def hold(self, name: str, what: str, deadline: Deadline) -> Iterator[None]:
        """Hold the lock ``name`` on ``what``; raises :class:`filelock.Timeout` at the deadline."""
        lock = self.wait(
            lambda: self.attempt(name), lambda: self.holder(name), what=what, deadline=deadline
        )
        if lock is None:
            raise Timeout(str(self.file(name)))
        with self.until_released(name, lock):
            yield

    def file(self, name: str) -> Path:
        """Return the file of the lock ``name``."""
        return self.root / f"{name}.lock"

    def attempt(self, name: str) -> FileLock | None:
        """Return the lock ``name``, taken, or None where somebody holds it."""
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        try:
            self._write(file, Holder(os.getpid(), self._shown(), self.folder, time.time()))
        except BaseException:
            lock.release()
            raise
        return lock

    @contextlib.contextmanager
    def until_released(self, name: str, lock: FileLock) -> Iterator[None]:
        """Release a lock that was taken by :meth:`attempt` when the block ends."""
        try:
            yield
        finally:
            self.file(name).with_suffix(_NOTE).unlink(missing_ok=True)
            lock.release()

    def holder(self, name: str) -> Holder | None:
        """Return who holds the lock ``name``, or did when it was killed; None if that is unknown.

        Only right of a lock that is known to be held.
        """
        try:
            return Holder(**json.loads(self.file(name).with_suffix(_NOTE).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def wait(
        self,
        attempt: Callable[[], T | None],
        whom: Callable[[], Holder | None],
        *,
        what: str,
        deadline: Deadline,
    ) -> T | None:
        """Return what ``attempt`` gives as soon as it gives something, None at the deadline.

        Where that takes longer than a second, ``on_wait`` hears of the holder that ``whom`` names.
        """
        began, told, wait = time.monotonic(), "", deadline.wait()
        try:
            while (taken := attempt()) is None and not wait.expired():
                if time.monotonic() - began > _SILENT:
                    holder = whom()
                    others = holder.describe() if holder else "another run"
                    if told != others and not self._is_this_run(holder):
                        told = others
                        self.on_wait(what, told)
                time.sleep(_POLL)
            return taken
        finally:
            if told:
                self.on_wait(what, "")

    def _is_this_run(self, holder: Holder | None) -> bool:
        return holder is not None and (holder.pid, holder.folder) == (os.getpid(), self.folder)

    def _shown(self) -> str:
        cut = len(self.command) > _MAX_COMMAND
        return self.command[:_MAX_COMMAND] + " …" * cut

    @staticmethod
    def _write(file: Path, holder: Holder) -> None:
        note = file.with_suffix(_NOTE)
        fresh = note.with_suffix(f"{_NOTE}.new")  # of the lock's holder alone
        # A full disk must not keep anybody from working with what is there.
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(asdict(holder)))
            fresh.rename(note)


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Mark a folder as in use until the block ends, or the process does, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Shared: two may use one folder. A file system without locks has nothing to mark with.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_in_use(folder: Path) -> bool:
    """Return whether somebody has marked a folder with :func:`in_use`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
