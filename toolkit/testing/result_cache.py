"""What kernels and test programs gave before, so that what cannot have changed need not run again.

A *fingerprint* is a digest of all that a result depends on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from toolkit.core.deadline import Deadline
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import Outcome, RawRun
from toolkit.host.cache import Cache

_KIND = "result"
_FILE = "raw-run.json"
_BOOT_KIND = "boot"
_BOOT_FILE = "splats.json"

T = TypeVar("T")
Splats = tuple[Splat, ...]


class ResultCache:
    """Results of earlier runs in this process.

    A program's result is not the whole verdict on its kernel, so what that complained of while
    booting is kept beside it, by the fingerprint of the machine.
    """

    def __init__(self) -> None:
        self._runs: dict[str, RawRun] = {}
        self._boots: dict[str, Splats] = {}

    def recall(self, fingerprint: str) -> RawRun | None:
        """Return what a program gave, or None."""
        return self._runs.get(fingerprint)

    def keep(self, fingerprint: str, raw: RawRun) -> None:
        """Keep what a program that ended by itself gave."""
        if raw.outcome is Outcome.COMPLETED:
            self._runs[fingerprint] = raw

    def recall_boot(self, fingerprint: str) -> Splats | None:
        """Return what a kernel complained of while booting, or None if it was not booted yet."""
        return self._boots.get(fingerprint)

    def keep_boot(self, fingerprint: str, splats: Splats) -> None:
        """Keep what a kernel complained of while booting."""
        self._boots[fingerprint] = splats


class DiskResultCache(ResultCache):
    """Results in the toolkit's cache, for a kernel that does not change: the unpatched base.

    It keeps crashes and timeouts as well, but not the result of a machine that was lost, which
    says nothing of the kernel.
    """

    def __init__(self, cache: Cache, deadline: Deadline) -> None:
        super().__init__()
        self._cache = cache
        self._deadline = deadline

    def recall(self, fingerprint: str) -> RawRun | None:
        """Return what a program gave; an entry that cannot be read is removed."""
        return self._read(_KIND, fingerprint, _run().validate_json, _FILE)

    def keep(self, fingerprint: str, raw: RawRun) -> None:
        """Put what a program gave into the cache."""
        if raw.outcome is not Outcome.LOST:
            label = f"{raw.suite}/{raw.program}"
            self._write(_KIND, fingerprint, _FILE, _run().dump_json(raw), label)

    def recall_boot(self, fingerprint: str) -> Splats | None:
        """Return what a kernel complained of; an entry that cannot be read is removed."""
        return self._read(_BOOT_KIND, fingerprint, _splats().validate_json, _BOOT_FILE)

    def keep_boot(self, fingerprint: str, splats: Splats) -> None:
        """Put what a kernel complained of into the cache, in place of what is there."""
        before = self.recall_boot(fingerprint)
        if before == splats:
            return
        if before is not None:
            self._cache.discard(_BOOT_KIND, fingerprint)
        data = _splats().dump_json(splats)
        self._write(_BOOT_KIND, fingerprint, _BOOT_FILE, data, "boot")

    def _read(
        self, kind: str, fingerprint: str, parse: Callable[[bytes], T], name: str
    ) -> T | None:
        folder = self._cache.find(kind, fingerprint)
        if folder is None:
            return None
        try:
            return parse((folder / name).read_bytes())
        except (OSError, ValidationError):
            self._cache.discard(kind, fingerprint)
            return None

    def _write(self, kind: str, fingerprint: str, name: str, data: bytes, label: str) -> None:
        def fill(folder: Path) -> None:
            (folder / name).write_bytes(data)

        self._cache.make(kind, fingerprint, fill, deadline=self._deadline, label=label)


@functools.cache
def _run() -> TypeAdapter[RawRun]:
    return TypeAdapter(RawRun)


@functools.cache
def _splats() -> TypeAdapter[Splats]:
    return TypeAdapter(Splats)
