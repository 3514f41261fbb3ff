"""Folders that change from run to run, each lent to one run at a time.

A folder has what its user would have to make again elsewhere, such as a build that is up to date
but for an edit. So whoever needs one that is taken either waits for it, where it has that or is
just getting it, or gets another one, ``NAME.1``, ``NAME.2`` … These are as good the next time, and
go when they have not been used for longest.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from toolkit.core.deadline import Deadline
from toolkit.host import folders
from toolkit.host.locks import Holder, Locks

MAX_FOLDERS = 8  # of one name; who comes then has to wait
KEPT_IDLE = 3  # of one name
PATIENCE = 60.0  # seconds; an edit is built in less, and a kernel from nothing takes minutes
_LOOK = 1.0  # seconds between two looks at what another run makes

T = TypeVar("T")
_Taken = tuple[str, FileLock]  # the folder's name, and its lock


def none(_: Path) -> bool:
    """Say that no folder saves its user anything."""
    return False


@dataclass(frozen=True, slots=True)
class Worth:
    """Says of a folder that somebody has whether it is worth a wait."""

    now: Callable[[Path], bool] = none  # it has what saves its user a lot
    soon: Callable[[Path], bool] = none  # who has it is making that for the first time


NOTHING = Worth()


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a wait for what was coming ended: with a folder that is free, or without one."""

    taken: _Taken | None


class WorkFolders:
    """Lends folders below the root of ``locks``; with ``cold`` each is empty the first time."""

    def __init__(self, locks: Locks, *, cold: bool = False) -> None:
        self._locks = locks
        self._cold = cold
        self._used: list[str] = []  # by this process, the last one first

    @contextlib.contextmanager
    def lend(
        self, name: str, *, what: str, deadline: Deadline, worth: Worth = NOTHING
    ) -> Iterator[Path]:
        """Lend the folder ``name``, or another in its place, until the block ends.

        One that is of ``worth`` now is waited for at most :data:`PATIENCE`. Where none is, one
        that will be soon is waited for until it is, and then likewise: two that make the same at
        once on the same CPUs take longer than one after the other. Otherwise the first one that is
        free is lent, or a new one. Where there are :data:`MAX_FOLDERS`, one is waited for until
        ``deadline``, and :class:`filelock.Timeout` raised then.
        """
        place, lock = self._take(name, what, deadline, worth)
        with self._locks.until_released(place, lock):
            path = self._locks.root / place
            if self._cold and place not in self._used:
                folders.remove(path)
            path.mkdir(parents=True, exist_ok=True)
            os.utime(path)
            self._used = [place, *(other for other in self._used if other != place)]
            yield path
        self._remove_surplus(name)

    def _take(self, name: str, what: str, deadline: Deadline, worth: Worth) -> _Taken:
        def those(fit: Callable[[Path], bool]) -> list[str]:
            return [
                each
                for each in self._existing(name)
                if (each in self._used or not self._cold) and fit(self._locks.root / each)
            ]

        def coming() -> list[str]:
            return [] if those(worth.now) else those(worth.soon)

        def wait(
            attempt: Callable[[], T | None], names: Callable[[], Sequence[str]], until: Deadline
        ) -> T | None:
            def whom() -> Holder | None:
                return self._locks.holder(next(iter(names()), name))

            return self._locks.wait(attempt, whom, what=what, deadline=until)

        def first_of(names: Callable[[], Sequence[str]], until: Deadline) -> _Taken | None:
            return wait(lambda: self._first(names()), names, until)

        taken = None
        if making := coming():
            ended = wait(self._free_or_over(making, coming), lambda: making, deadline)
            taken = ended.taken if ended else None
        if not taken and (good := those(worth.now)):
            taken = first_of(lambda: good, deadline.sooner(PATIENCE))
        taken = taken or first_of(lambda: self._all(name), deadline)
        if taken is None:
            raise Timeout(str(self._locks.file(name)))
        return taken

    def _first(self, names: Sequence[str]) -> _Taken | None:
        """Take the first of these folders that is free."""
        for name in names:
            if lock := self._locks.attempt(name):
                return name, lock
        return None

    def _free_or_over(
        self, names: Sequence[str], coming: Callable[[], Sequence[str]]
    ) -> Callable[[], _Ended | None]:
        """Return an attempt that ends when one of these is free, or nothing is coming any more."""
        looked = time.monotonic()

        def attempt() -> _Ended | None:
            nonlocal looked
            if taken := self._first(names):
                return _Ended(taken)
            if time.monotonic() - looked < _LOOK:
                return None
            looked = time.monotonic()
            return None if coming() else _Ended(None)

        return attempt

    def _all(self, name: str) -> list[str]:
        """Return the folders to try: those that exist, and then those that may be made."""
        existing = self._existing(name)
        names = [name, *(f"{name}.{number}" for number in range(1, MAX_FOLDERS))]
        return [*existing, *(other for other in names if other not in existing)][:MAX_FOLDERS]

    def _existing(self, name: str) -> list[str]:
        """Return the folders that exist: what this process used last, then by number."""
        parent, key = (self._locks.root / name).parent, Path(name).name
        form = re.compile(rf"{re.escape(key)}(?:\.(\d+))?")
        numbers: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in parent.iterdir():
                if (match := form.fullmatch(path.name)) and path.is_dir():
                    numbers[str(Path(name).with_name(path.name))] = int(match[1] or 0)
        used = {place: at for at, place in enumerate(self._used)}
        return sorted(numbers, key=lambda each: (used.get(each, len(used)), numbers[each]))

    def _remove_surplus(self, name: str) -> None:
        """Remove those that have not been used for longest, unless they are in use."""
        ages: dict[str, float] = {}
        for each in self._existing(name):
            with contextlib.suppress(FileNotFoundError):
                ages[each] = (self._locks.root / each).stat().st_mtime
        for each in sorted(ages, key=ages.__getitem__, reverse=True)[KEPT_IDLE:]:
            if lock := self._locks.attempt(each):
                with self._locks.until_released(each, lock):
                    folders.remove(self._locks.root / each)
