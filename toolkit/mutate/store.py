"""Verdicts of earlier runs: an interrupted run goes on, and on an unchanged series nothing runs.

All verdicts of one folder hold for one series, kernel, suite and machine: its name is a digest of
these. Each is a line in a file, on disk before the next mutant is tried.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from toolkit.core.model.mutation import Fate, Verdict

FORMAT = 1  # of how verdicts come about; a part of the folder's name
_FILE = "verdicts.jsonl"


class Store:
    """The verdicts in a folder, by the mutant's id. Several threads may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()
        self._verdicts = _read(self._path)

    def get(self, mutant: str) -> Verdict | None:
        """Return the verdict on a mutant, None where there is none yet."""
        with self._lock:
            return self._verdicts.get(mutant)

    def keep(self, mutant: str, verdict: Verdict) -> None:
        """Write down a verdict; raises :class:`OSError` where the disk does not take it."""
        line = json.dumps({"mutant": mutant, **asdict(verdict)})
        with self._lock:
            with self._path.open("a") as file:
                if file.tell() and not _ends_whole(self._path):
                    file.write("\n")  # after a line that a killed run wrote a part of
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._verdicts[mutant] = verdict


def has_verdicts(folder: Path) -> bool:
    """Return whether there are verdicts in a folder."""
    return (folder / _FILE).exists()


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _read(path: Path) -> dict[str, Verdict]:
    """Return what the file holds; a line that is damaged counts as absent, the last one counts."""
    verdicts = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            name = row.pop("mutant")
            verdicts[name] = Verdict(
                **{
                    **row,
                    "fate": Fate(row["fate"]),
                    "passed": tuple(row["passed"]),
                    "skipped": tuple(row["skipped"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return verdicts
