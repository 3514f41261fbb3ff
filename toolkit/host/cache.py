"""The content-addressed store under the cache folder.

An entry is a folder ``KIND/KEY`` that is either whole or absent: it is filled under a
temporary name and renamed. Entries never change afterwards; one that did, by a failing disk or a
careless hand, is noticed and made again. Beside them lie *work folders*, which do change (a
persistent build tree), under a lock.

Any number of toolkits may share one store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from filelock import Timeout

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.host import folders, integrity, locks
from toolkit.host.locks import Locks, OnWait
from toolkit.host.work_folders import NOTHING, WorkFolders, Worth

_SEAL = ".sealed.json"  # written last: a folder without it is not an entry
_FORMAT = 2  # of a seal; what an earlier toolkit sealed cannot be checked, and counts as absent

# What make and the commands that kbuild writes take for more than a part of a name. The kernel's
# Makefile refuses the first two ("source directory cannot contain spaces or colons").
_UNFIT = re.compile(r"""[\s:#%$&;|<>()*?{}'"`\\!\[\]]""")


def _ignore(damage: str) -> None:
    """Do nothing about damage."""


def digest(*parts: object) -> str:
    """Return a hex key over ``parts``: bytes as they are, everything else as its JSON."""
    state = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One line of ``cache list``. ``size`` is in bytes on disk, ``used`` a Unix time."""

    kind: str
    key: str
    label: str
    size: int
    used: float
    path: Path


class AbsentError(Exception):
    """A shared cache has no such entry that counts."""


class Name(NamedTuple):
    """Which entry, and what it is made of in words ("" where nobody says)."""

    kind: str
    key: str
    label: str

    def __str__(self) -> str:
        return f"the {self.kind} of {self.label}" if self.label else f"a {self.kind}"


class Shared(Protocol):
    """A cache that other hosts fill, too: :class:`toolkit.host.shared.store.SharedCache`."""

    def get(self, name: Name, into: Path, deadline: Deadline) -> None:
        """Fill the empty folder ``into`` with an entry; raises :class:`AbsentError`."""

    def put(self, name: Name, folder: Path, without: str, deadline: Deadline) -> None:
        """Store an entry but for one of its files."""


class Cache:
    """A store rooted at ``root``, which is made when first needed.

    ``cold`` makes :meth:`make` ignore what is there (once each entry), and replace it.
    ``on_damage`` gets a sentence on each entry that turns out to be damaged, ``on_wait`` hears
    when another run is waited for (:data:`toolkit.host.locks.OnWait`). Others that wait for this
    one are told its ``command``, by default this process's own, and its run's ``folder``.
    ``shared`` is asked for what is absent here, and gets what is made, if there is one.
    """

    def __init__(
        self,
        root: Path,
        *,
        cold: bool = False,
        on_damage: Callable[[str], None] = _ignore,
        on_wait: OnWait = locks.ignore,
        command: str = "",
        folder: Path | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.root = root
        self.cold = cold
        command = command or locks.this_command()
        self.locks = Locks(root, command, str(folder) if folder else "", on_wait)
        self._work_folders = WorkFolders(self.locks, cold=cold)
        self._on_damage = on_damage
        self._shared = shared
        self._fresh: set[Path] = set()
        self._intact: dict[Path, bool] = {}  # what this process has checked

    def find(self, kind: str, key: str) -> Path | None:
        """Return the entry's folder, and remember that it was used, or None."""
        path = self.root / kind / key
        if self.cold and path not in self._fresh:
            return None
        if not (path / _SEAL).exists() or not self._is_intact(path):
            return None
        with contextlib.suppress(OSError):
            os.utime(path / _SEAL)
        return path

    def _is_intact(self, path: Path) -> bool:
        """Return whether an entry is as it was when it was sealed; checked once."""
        if path not in self._intact:
            try:
                seal = json.loads((path / _SEAL).read_text())
                if seal.get("format") != _FORMAT:
                    return False
                damage = integrity.damage(path, seal["files"])
            except FileNotFoundError:
                return False  # pruned meanwhile
            except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
                damage = str(error)
            if damage:
                kind = path.parent.name
                self._on_damage(f"a cached {kind} is damaged and will be made again: {damage}")
            self._intact[path] = not damage
        return self._intact[path]

    def make(
        self,
        kind: str,
        key: str,
        fill: Callable[[Path], None],
        *,
        deadline: Deadline,
        label: str = "",
        checked: bool = True,
    ) -> tuple[Path, bool]:
        """Return the entry's folder and whether the cache had it, this one or the shared one.

        Where it is absent or damaged ``fill`` is called with an empty folder; what it raises
        leaves the store as it was. Two callers of one key wait for each other and fill it once.
        An entry that is not ``checked`` gets no digests: its user knows the files by other means.
        """
        if entry := self.find(kind, key):
            return entry, True
        name = Name(kind, key, label)
        with self.lock(f"{kind}/{key}", deadline=deadline, what=str(name)):
            if entry := self.find(kind, key):
                return entry, True
            path, shared = self.root / kind / key, self._shared
            if shared and not self.cold:
                with contextlib.suppress(AbsentError):
                    take = partial(shared.get, name, deadline=deadline)
                    return self._fill(path, take, label, checked), True
            self._fill(path, fill, label, checked)
        if shared:
            shared.put(name, path, _SEAL, deadline)
        return path, False

    def _fill(self, path: Path, fill: Callable[[Path], None], label: str, checked: bool) -> Path:
        try:
            # Left by a process that was killed: its lock is ours now.
            for left in path.parent.glob(f".{path.name}.*"):
                self.remove_tree(left)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as error:
            raise InfrastructureError(f"cannot write to the cache {self.root}: {error}") from error
        try:
            fill(temporary)
            files = integrity.digests(temporary) if checked else {}
            seal = {"format": _FORMAT, "label": label, "made": time.time(), "files": files}
            (temporary / _SEAL).write_text(json.dumps(seal))
            temporary.chmod(0o755)
            self.remove_tree(path)
            temporary.rename(path)
        except BaseException:
            self.remove_tree(temporary)
            raise
        self._fresh.add(path)
        self._intact[path] = True
        return path

    def discard(self, kind: str, key: str) -> None:
        """Remove an entry that turned out to be damaged."""
        self.remove_tree(self.root / kind / key)

    @contextlib.contextmanager
    def work(
        self,
        kind: str,
        key: str,
        *,
        deadline: Deadline,
        label: str = "",
        worth: Worth = NOTHING,
    ) -> Iterator[Path]:
        """Lend a changing folder ``work/KIND/KEY`` that nobody else has meanwhile.

        Where others have it the caller gets one of its own; see
        :class:`~toolkit.host.work_folders.WorkFolders`, also for ``worth``.
        """
        what = f"the work folder of {label or key}"
        with (
            self._timed_out(what, deadline),
            self._work_folders.lend(
                f"work/{kind}/{key}", what=what, deadline=deadline, worth=worth
            ) as folder,
        ):
            yield folder

    @contextlib.contextmanager
    def lock(self, name: str, *, deadline: Deadline, what: str = "") -> Iterator[None]:
        """Hold the store-wide lock called ``name``; it falls with the process that holds it.

        ``what`` is in words what the lock is on.
        """
        what = what or f"the lock {name}"
        with self._timed_out(what, deadline), self.locks.hold(name, what, deadline):
            yield

    @staticmethod
    @contextlib.contextmanager
    def _timed_out(what: str, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except Timeout as error:
            raise InfrastructureError(
                f"waited {deadline.budget:.0f} s for another run to release {what}",
                hint="let the other run finish, or give this one its own XDG_CACHE_HOME",
            ) from error

    @staticmethod
    def remove_tree(path: Path) -> None:
        """Remove a folder; see :func:`toolkit.host.folders.remove`."""
        folders.remove(path)

    def entries(self, kind: str = "*") -> list[CacheEntry]:
        """Return everything that is stored, or of one kind, least recently used first.

        What several share by hard links counts for the one that was used last: removing the
        others does not free it.
        """
        stored: list[tuple[float, Path, str, str]] = []
        for seal in self.root.glob(f"{kind}/*/{_SEAL}"):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                label = str(json.loads(seal.read_text()).get("label", ""))
                path = seal.parent
                stored.append((seal.stat().st_mtime, path, path.parent.name, label))
        stored += [
            (path.stat().st_mtime, path, f"work/{path.parent.name}", "")
            for path in self.root.glob("work/*/*")
            if kind == "*" and path.is_dir() and not path.name.startswith(".")
        ]
        seen: set[tuple[int, int]] = set()
        entries = [
            CacheEntry(its_kind, path.name, label, folders.size(path, seen), used, path)
            for used, path, its_kind, label in sorted(stored, reverse=True)
        ]
        return entries[::-1]

    def newest(self, kind: str) -> Path | None:
        """Return the most recently used entry of a kind, or None."""
        seals = self.root.glob(f"{kind}/*/{_SEAL}")
        seal = max(seals, key=lambda seal: seal.stat().st_mtime, default=None)
        return seal.parent if seal else None

    def prune(self, keep_within: int) -> list[CacheEntry]:
        """Remove the least recently used entries until at most ``keep_within`` bytes stay.

        What another run is using stays, and what killed runs left half done goes. Returns the
        entries that were removed.
        """
        self._remove_left()
        return self._remove_oldest(self.entries(), keep_within)

    def _remove_left(self) -> None:
        """Remove what killed runs have left: entries half made, and entries half removed."""
        for left in (*self.root.glob("*/.*"), *self.root.glob("work/*/.*")):
            kind, key = left.parent.relative_to(self.root), left.name.split(".")[1]
            if left.name.startswith(folders.TRASH):
                shutil.rmtree(left, ignore_errors=True)  # maybe beside the one who does it
                continue
            name = f"{kind}/{key}"
            if lock := self.locks.attempt(name):
                with self.locks.until_released(name, lock):
                    self.remove_tree(left)

    def trim(self, kind: str, keep_within: int, *, unused: float) -> list[CacheEntry]:
        """Do the same with the entries of one kind, without those used in the last ``unused`` s."""
        entries = self.entries(kind)
        now = time.time()
        kept = sum(entry.size for entry in entries if now - entry.used < unused)
        idle = [entry for entry in entries if now - entry.used >= unused]
        return self._remove_oldest(idle, max(0, keep_within - kept))

    def _remove_oldest(self, entries: Sequence[CacheEntry], keep_within: int) -> list[CacheEntry]:
        total = sum(entry.size for entry in entries)
        removed = []
        for entry in entries:
            if total <= keep_within:
                break
            name = f"{entry.kind}/{entry.key}"
            if lock := self.locks.attempt(name):
                with self.locks.until_released(name, lock):
                    self.remove_tree(entry.path)
                removed.append(entry)
                total -= entry.size
        return removed


def check_path(root: Path) -> None:
    """Raise :class:`UserError` with what to do if make cannot work in a cache at ``root``."""
    if match := _UNFIT.search(str(root)):
        raise UserError(
            f"a kernel cannot be built in the cache {root}: its path has {match[0]!r} in it",
            hint="set XDG_CACHE_HOME to a folder with a plain name",
        )


def why_unwritable(folder: Path) -> str:
    """Return why no file can be made and filled in ``folder``, or "" where one can.

    The folder is made where it is absent, as its first user would.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""
