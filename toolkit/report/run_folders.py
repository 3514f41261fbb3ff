"""The folders that runs leave behind: how large they are, and which of them may go.

Their verdicts stay in the history whatever becomes of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.host import folders, locks

_NAME = re.compile(r"\d{8}T\d{6}Z-.+")  # what core.paths.new_run_dir makes; nothing else is removed
_NEW = 60.0  # seconds in which a run may have made its folder and not marked it yet


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder: its ``size`` in bytes on disk, and when it last changed (Unix time)."""

    path: Path
    size: int
    used: float


def recorded(runs: Path) -> list[RunFolder]:
    """Return the run folders below ``runs``, the oldest first."""
    return [RunFolder(path, folders.size(path), _used(path)) for path in _paths(runs)]


def prune(runs: Path, *, keep: int, newer_than: float = 0.0) -> Iterator[RunFolder]:
    """Remove run folders below ``runs``, the oldest first, and yield each before it goes.

    The last ``keep`` stay, and with ``newer_than`` those that changed in so many seconds. So does
    one that a run is using, and what is no run folder.
    """
    now = time.time()
    for path in _paths(runs)[: -keep or None]:
        used = _used(path)
        if now - used < max(newer_than, _NEW) or not path.is_dir() or locks.is_in_use(path):
            continue
        yield RunFolder(path, folders.size(path), used)
        folders.remove(path)


def _paths(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    with os.scandir(runs) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        )


def _used(path: Path) -> float:
    """Return when something was last made in a run's folder; its subfolders are made early."""
    return max(path.stat().st_mtime, *(each.lstat().st_mtime for each in path.iterdir()), 0.0)
