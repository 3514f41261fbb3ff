"""Verdicts of earlier runs: an interrupted run goes on, and on an unchanged series nothing runs.

All verdicts of one folder hold for one series, kernel and machine: its name is a digest of these.
Each is a line in a file, on disk before the next mutant is tried. It has a digest of the tests that
it rests on, so that a new case has the survivors tried again, and little else: a kill holds for as
long as the program that killed does not change, and what compiles to the same needs no test.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.core.model.mutation import Fate, Verdict
from toolkit.host.work_folders import Worth
from toolkit.testing import leaf_ids

FORMAT = 2  # of how verdicts come about; a part of the folder's name
_FILE = "verdicts.jsonl"
WORTH = Worth(now=lambda folder: (folder / _FILE).exists())  # of a folder of verdicts


@dataclass(frozen=True, slots=True)
class Tests:
    """What the tests are: digests of each program, by ``suite/program``, and of all of them."""

    programs: Mapping[str, str] = field(default_factory=dict)
    all: str = ""

    def behind(self, verdict: Verdict) -> str:
        """Return a digest of the tests that a verdict rests on, "" where it rests on none."""
        if verdict.fate is Fate.KILLED:
            suite, program, _ = leaf_ids.split(verdict.by)
            if suite == leaf_ids.BOOT:
                return ""
            return self.programs.get(f"{suite}/{program}", self.all)
        return self.all if verdict.fate is Fate.SURVIVED else ""


class Store:
    """The verdicts in a folder that hold for ``tests``, by the mutant's id.

    Several threads may use it at once.
    """

    def __init__(self, folder: Path, tests: Tests) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()
        self._tests = tests
        self._verdicts = _read(self._path, tests)

    def get(self, mutant: str) -> Verdict | None:
        """Return the verdict on a mutant, None where there is none yet."""
        with self._lock:
            return self._verdicts.get(mutant)

    def keep(self, mutant: str, verdict: Verdict) -> None:
        """Write down a verdict; raises :class:`OSError` where the disk does not take it."""
        tests = self._tests.behind(verdict)
        line = json.dumps({"mutant": mutant, "tests": tests, **asdict(verdict)})
        with self._lock:
            with self._path.open("a") as file:
                if file.tell() and not _ends_whole(self._path):
                    file.write("\n")  # after a line that a killed run wrote a part of
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._verdicts[mutant] = verdict


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _read(path: Path, tests: Tests) -> dict[str, Verdict]:
    """Return what the file holds for these tests; the last line of a mutant counts.

    A line that is damaged counts as absent.
    """
    verdicts = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            name, rests_on = row.pop("mutant"), row.pop("tests")
            verdict = Verdict(
                **{
                    **row,
                    "fate": Fate(row["fate"]),
                    "passed": tuple(row["passed"]),
                    "skipped": tuple(row["skipped"]),
                }
            )
            sound = isinstance(name, str) and rests_on == tests.behind(verdict)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        if sound:
            verdicts[name] = verdict
    return verdicts
