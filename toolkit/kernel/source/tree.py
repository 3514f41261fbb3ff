"""``tree:PATH``: a folder in the state it is in; it is never written to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError, of_os_error
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host.cache import Cache, digest
from toolkit.kernel.source import tree_snapshot
from toolkit.kernel.source.provider import (
    KIND,
    STAGE,
    Provider,
    intact,
    release,
    save_pointer,
    store,
)

FORM = "tree:PATH"
_ATTEMPTS = 3


def parse(spec: str, rest: str) -> Provider:
    """Return the folder; whether it is a kernel is seen when it is fetched."""
    return Tree(spec, paths.expand(rest))


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder as it is now; the cache gets a snapshot of it."""

    spec: str
    path: Path

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        path = Path(os.path.realpath(self.path))
        if not path.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.path}")
        release(path)
        for _ in range(_ATTEMPTS):
            files = tree_snapshot.listing(path, deadline)
            base = self._snapshot(path, files, cache, observer, deadline)
            if base:
                return base
        raise UserError(f"{path} keeps changing while it is copied", hint="let it come to rest")

    def _snapshot(
        self,
        path: Path,
        files: tree_snapshot.Listing,
        cache: Cache,
        observer: Observer,
        deadline: Deadline,
    ) -> tuple[KernelBase, bool] | None:
        """Return the snapshot, or None when the tree changed meanwhile."""
        key = digest("tree", str(path), files)
        latest = cache.root / KIND / f"latest-{digest(str(path))}.json"

        def fill(tree: Path) -> None:
            previous = _latest(latest, cache)

            def report(done: int, total: int | None) -> None:
                observer.stage_progress(STAGE, done, total, "files copied")

            try:
                tree_snapshot.snapshot(
                    path, files, tree, previous=previous, report=report, deadline=deadline
                )
            except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
                raise _ChangedError from error
            if tree_snapshot.listing(path, deadline) != files:
                raise _ChangedError

        try:
            base, cached = store(self.spec, key, fill, cache, deadline)
        except _ChangedError:
            return None
        except OSError as error:
            reason = of_os_error(error)
            raise InfrastructureError(
                f"cannot copy {path}: {reason.what}", hint=reason.hint
            ) from error
        if not cached:
            save_pointer(latest, key)
        return replace(base, lineage=digest("tree", str(path))), cached


class _ChangedError(Exception):
    """The tree changed while it was copied."""


def _latest(pointer: Path, cache: Cache) -> Path | None:
    """Return the newest snapshot of the tree that ``pointer`` belongs to, or None."""
    try:
        folder = cache.find(KIND, json.loads(pointer.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return folder / "tree" if folder and intact(folder) else None
