"""What test programs gave before, so that what cannot have changed need not run again."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toolkit.core.deadline import Deadline
from toolkit.core.model.testing import Outcome, RawRun
from toolkit.host.cache import Cache

_KIND = "result"
_FILE = "raw-run.json"


class ResultCache:
    """What programs gave in earlier runs; it stands while what they were run on does."""

    def __init__(self) -> None:
        self._kept: dict[str, RawRun] = {}

    def recall(self, mark: str) -> RawRun | None:
        """Return what was kept under ``mark``, or None."""
        return self._kept.get(mark)

    def keep(self, mark: str, raw: RawRun) -> None:
        """Keep what a program that ended by itself gave."""
        if raw.outcome is Outcome.COMPLETED:
            self._kept[mark] = raw


class DiskResultCache(ResultCache):
    """A memory in the cache, for a kernel that does not change: the unpatched base.

    It keeps crashes and timeouts as well. A machine that was lost says nothing, and is not kept.
    """

    def __init__(self, cache: Cache, deadline: Deadline) -> None:
        super().__init__()
        self._cache = cache
        self._deadline = deadline

    def recall(self, mark: str) -> RawRun | None:
        """Return what is in the cache; an entry that cannot be read is removed."""
        path = self._cache.find(_KIND, mark)
        if path is None:
            return None
        try:
            return _adapter().validate_json((path / _FILE).read_bytes())
        except (OSError, ValidationError):
            self._cache.discard(_KIND, mark)
            return None

    def keep(self, mark: str, raw: RawRun) -> None:
        """Put it into the cache."""
        if raw.outcome is Outcome.LOST:
            return
        data = _adapter().dump_json(raw)

        def fill(folder: Path) -> None:
            (folder / _FILE).write_bytes(data)

        label = f"{raw.suite}/{raw.program}"
        self._cache.make(_KIND, mark, fill, deadline=self._deadline, label=label)


@functools.cache
def _adapter() -> TypeAdapter[RawRun]:
    return TypeAdapter(RawRun)
