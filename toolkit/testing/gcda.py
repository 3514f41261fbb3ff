"""Fetches a guest's counters of executed lines around each test program.

The files lie in debugfs and have no size there, so they are read with cat
(Documentation/dev-tools/gcov.rst). What comes is untrusted: which files there are is decided here
and not by the guest, the time and the size are bounded, and what is no counter file is not kept. A
program is root in its guest, though, and may well forge its own counts.
"""

from __future__ import annotations

import shlex
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.testing import TestProgram
from toolkit.kernel.gcov_build import Profiled

if TYPE_CHECKING:
    from toolkit.vm.ssh import GuestSession

BOOT = "boot"  # stands for a program: what ran before the first one did, such as __init code
SUFFIX = ".gcda"
_GCOV = "/sys/kernel/debug/gcov"
_COPY = "/kselftest/.counters"  # beside the suite, which was copied there before
_MAGIC = (b"adcg", b"gcda")  # in the two byte orders (gcc's gcov-io.h)
_LIMIT = 8 << 20  # bytes of one file; the kernel's largest objects have less than one MiB
_ALL_LIMIT = 128 << 20  # bytes of all files; they wait on disk
_SECONDS = 60.0  # for the guest to give them
_LATE_SECONDS = 5.0  # for a guest whose program hung
_GONE = 9  # exit status of the command where the guest has no counters


class Counters:
    """The counters of a run's programs: what each left goes below ``folder``.

    Several machines use it at once. Of a program that runs several times the first run counts.
    ``lost`` says of which programs there is nothing, and why.
    """

    def __init__(self, profiled: Profiled, folder: Path) -> None:
        self.lost: dict[str, str] = {}
        self.profiled = profiled
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    def before(self, session: GuestSession, program: TestProgram, deadline: Deadline) -> None:
        """Set every counter to zero; the first time, keep what they had come to by then.

        Of a program whose counters cannot be set there is nothing.
        """
        self._fetch_in_time(session, BOOT, deadline)
        try:
            limit = deadline.sooner(_SECONDS)
            session.check(f"echo 0 >{_GCOV}/reset", deadline=limit)
        except MachineLostError:
            raise
        except InfrastructureError as error:
            deadline.check("setting the counters to zero")
            name = f"{program.suite}/{program.name}"
            if self._first(name):
                self.lost[name] = f"the guest did not set them to zero: {error.what}"

    def after(
        self, session: GuestSession, program: TestProgram, deadline: Deadline, *, late: bool = False
    ) -> None:
        """Keep what a program came to; ``late``: the guest may not answer any more."""
        name = f"{program.suite}/{program.name}"
        if not late:
            self._fetch_in_time(session, name, deadline)
            return
        try:
            self._fetch(session, name, Deadline.after(_LATE_SECONDS))
        except (DeadlineError, MachineLostError):
            self.lost[name] = "the guest hung"

    def gone(self, program: TestProgram, why: str) -> None:
        """Record that a program took its machine with it, and the counters with that."""
        self.lost[f"{program.suite}/{program.name}"] = why

    def _first(self, name: str) -> bool:
        """Return whether nobody has asked this of a program before."""
        with self._lock:
            first = name not in self._seen
            self._seen.add(name)
            return first

    def _fetch_in_time(self, session: GuestSession, name: str, deadline: Deadline) -> None:
        try:
            self._fetch(session, name, deadline.sooner(_SECONDS))
        except DeadlineError:
            deadline.check("fetching the counters")
            self.lost[name] = f"the guest did not give them within {_SECONDS:.0f} s"

    def _fetch(self, session: GuestSession, name: str, deadline: Deadline) -> None:
        if not self._first(name):
            return
        with tempfile.TemporaryFile() as answer:
            spool = _Spool(answer)
            command = _command(self.profiled)
            done = session.run(command, deadline=deadline, on_stdout=spool.take, keep=0)
            if spool.error:
                raise spool.error
            if done.status == _GONE:
                self.lost[name] = "the guest has none any more: is debugfs still mounted in it?"
                return
            try:
                places = list(_places(answer, spool.size, len(self.profiled.objects)))
            except ValueError as error:
                self.lost[name] = f"what the guest sent are no counters: {error}"
                return
            for stem, (at, size) in zip(self.profiled.objects, places, strict=True):
                if size:  # a module that was never loaded has no file
                    path = self.folder / name / f"{stem}{SUFFIX}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    answer.seek(at)
                    path.write_bytes(answer.read(size))


class _Spool:
    """Takes what comes from a guest to a file, bounded; what goes wrong there is for later.

    A session takes an error of its sink for one of the connection.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.error: OSError | None = None

    def take(self, chunk: bytes) -> None:
        kept = chunk[: _ALL_LIMIT - self.size]
        try:
            self._file.write(kept)
        except OSError as error:
            self.error = self.error or error
        self.size += len(kept)


def _command(profiled: Profiled) -> str:
    """Return the command that writes every file, each with its size on a line before it."""
    paths = " ".join(
        shlex.quote(f"{_GCOV}{profiled.output}/{stem}{SUFFIX}") for stem in profiled.objects
    )
    return (
        f"[ -e {_GCOV}/reset ] || exit {_GONE}; "
        f'for file in {paths}; do cat "$file" >{_COPY} 2>/dev/null || : >{_COPY}; '
        f"wc -c <{_COPY}; cat {_COPY}; done; rm -f {_COPY}"
    )


def _places(answer: IO[bytes], length: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield where the ``count`` files begin that :func:`_command` wrote, and their sizes.

    Raises :class:`ValueError` for what it cannot have written.
    """
    at = 0
    for _ in range(count):
        answer.seek(at)
        head = answer.readline(32)
        size = int(head) if head.endswith(b"\n") else -1
        if not 0 <= size <= _LIMIT or at + len(head) + size > length:
            raise ValueError(f"they end at byte {at} of {length}")
        at += len(head)
        if size and not answer.read(len(_MAGIC[0])).startswith(_MAGIC):
            raise ValueError("a file begins with other bytes")
        yield at, size
        at += size
