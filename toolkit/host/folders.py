"""Whole folders: removed as one, and measured."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

TRASH = ".trash."  # before the name of a folder that is being removed


def remove(path: Path) -> None:
    """Remove a folder whole or not at all as others see it: rename first, then delete."""
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=TRASH, dir=path.parent) as trash:
        path.rename(Path(trash) / "entry")


def size(path: Path, seen: set[tuple[int, int]] | None = None) -> int:
    """Return the bytes on disk below ``path``; hard links count once.

    ``seen`` has the files that others count already, and gets those that others may count again.
    """
    seen = set() if seen is None else seen
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                info = Path(folder, name).lstat()
                if info.st_nlink > 1:
                    if (info.st_dev, info.st_ino) in seen:
                        continue
                    seen.add((info.st_dev, info.st_ino))
                total += info.st_blocks * 512
    return total
