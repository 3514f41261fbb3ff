"""Fetches a guest's counters of executed lines around each test program.

The files lie in debugfs and have no size there, so they are read with cat
(Documentation/dev-tools/gcov.rst). What comes is untrusted: which files there are is decided here
and not by the guest, each is bounded, and one that is no counter file is not kept.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, MachineLostError
from toolkit.core.model.testing import TestProgram
from toolkit.kernel.gcov_build import Profiled
from toolkit.vm.ssh import GuestSession

BOOT = "boot"  # stands for a program: what ran before the first one did, such as __init code
SUFFIX = ".gcda"
_GCOV = "/sys/kernel/debug/gcov"
_COPY = "/kselftest/.counters"  # beside the suite, which was copied there before
_MAGIC = (b"adcg", b"gcda")  # in the two byte orders (gcc's gcov-io.h)
_LIMIT = 8 << 20  # bytes of one file; the kernel's largest objects have less than one MiB
_LATE_SECONDS = 5.0  # for a guest whose program hung


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

    def before(self, session: GuestSession, deadline: Deadline) -> None:
        """Set every counter to zero; the first time, keep what they had come to by then."""
        self._fetch(session, BOOT, deadline)
        session.check(f"echo 0 >{_GCOV}/reset", deadline=deadline)

    def after(
        self, session: GuestSession, program: TestProgram, deadline: Deadline, *, late: bool = False
    ) -> None:
        """Keep what a program came to; ``late``: the guest may not answer any more."""
        name = f"{program.suite}/{program.name}"
        if not late:
            self._fetch(session, name, deadline)
            return
        try:
            self._fetch(session, name, Deadline.after(_LATE_SECONDS))
        except (DeadlineError, MachineLostError):
            self.lost[name] = "the guest hung"

    def gone(self, program: TestProgram, why: str) -> None:
        """Record that a program took its machine with it, and the counters with that."""
        self.lost[f"{program.suite}/{program.name}"] = why

    def _fetch(self, session: GuestSession, name: str, deadline: Deadline) -> None:
        with self._lock:
            if name in self._seen:
                return
            self._seen.add(name)
        answer = session.run(_command(self.profiled), deadline=deadline).stdout
        try:
            files = list(_split(answer, len(self.profiled.objects)))
        except ValueError as error:
            self.lost[name] = f"what the guest sent are no counters: {error}"
            return
        for stem, data in zip(self.profiled.objects, files, strict=True):
            if data:  # a module that was never loaded has no file
                path = self.folder / name / f"{stem}{SUFFIX}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


def _command(profiled: Profiled) -> str:
    """Return the command that writes every file, each with its size on a line before it."""
    paths = " ".join(
        shlex.quote(f"{_GCOV}{profiled.output}/{stem}{SUFFIX}") for stem in profiled.objects
    )
    return (
        f'for file in {paths}; do cat "$file" >{_COPY} 2>/dev/null || : >{_COPY}; '
        f"wc -c <{_COPY}; cat {_COPY}; done; rm -f {_COPY}"
    )


def _split(answer: bytes, count: int) -> Iterator[bytes]:
    """Yield the ``count`` files that :func:`_command` wrote.

    Raises :class:`ValueError` for what it cannot have written.
    """
    at = 0
    for _ in range(count):
        end = answer.find(b"\n", at, at + 32)
        size = int(answer[at:end]) if end >= 0 else -1
        if not 0 <= size <= _LIMIT or end + 1 + size > len(answer):
            raise ValueError(f"they end at byte {at} of {len(answer)}")
        data = answer[end + 1 : end + 1 + size]
        if data and not data.startswith(_MAGIC):
            raise ValueError("a file begins with other bytes")
        yield data
        at = end + 1 + size
