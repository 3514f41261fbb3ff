"""What a worker keeps on its host: a folder for each run of a matrix, below the state folder.

It holds the run's inputs, what is being worked on, and how each finished job ended: a client that
died asks for the same jobs again, and none is done twice.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from toolkit.core import files, paths
from toolkit.host import folders
from toolkit.matrix import json_file, outcome
from toolkit.matrix.outcome import Outcome

KEPT_DAYS = 7.0
_RUN = re.compile(r"[0-9a-f]{16}")
_DAY = 86400.0
_KERNELS = "kernels.json"
_MAX_KERNELS = 20
_ARCHIVE = ".tar.gz"


def root() -> Path:
    """Return the folder of all runs."""
    return paths.resolve().runs.parent / "worker"


def of_run(run: str) -> Path:
    """Return the folder of one run."""
    if not _RUN.fullmatch(run):
        raise ValueError(f"{run!r} is no run of a matrix")
    return root() / "runs" / run


def finished(run: str) -> list[str]:
    """Return the names of the jobs that were finished here."""
    return [file.stem for file in (of_run(run) / "finished").glob("[!.]*.json")]


def recall(run: str, name: str) -> Outcome | None:
    """Return how a job ended that was finished here; None for any other."""
    file = _file(run, name)
    data = json_file.read(file)
    if data is None:
        return None
    try:
        return outcome.of_data(data, file.with_suffix(_ARCHIVE).read_bytes())
    except OSError:
        return None


def keep(run: str, ended: Outcome) -> None:
    """Store how a job ended; raises :class:`OSError` where the disk does not take it."""
    file = _file(run, ended.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file.with_suffix(_ARCHIVE), [ended.archive])
    json_file.write(file, outcome.to_data(ended))  # last: without it there is nothing


def kernels() -> list[str]:
    """Return the kernels that were fetched here, the last one first."""
    data = json_file.read(root() / _KERNELS) or {}
    return [each for each in data.get("kernels", []) if isinstance(each, str)]


def remember_kernel(kernel: str) -> None:
    """Note that a kernel was fetched here."""
    others = [each for each in kernels() if each != kernel]
    json_file.write(root() / _KERNELS, {"kernels": [kernel, *others][:_MAX_KERNELS]})


def forget(run: str) -> None:
    """Remove all that is kept of a run."""
    with contextlib.suppress(OSError):
        folders.remove(of_run(run))


def prune() -> None:
    """Remove what is kept of runs that nobody has come back to for a week."""
    for folder in (root() / "runs").glob("*"):
        with contextlib.suppress(OSError):
            newest = max(
                folder.stat().st_mtime, *(each.stat().st_mtime for each in folder.iterdir()), 0
            )
            if time.time() - newest > KEPT_DAYS * _DAY:
                folders.remove(folder)


def _file(run: str, name: str) -> Path:
    return of_run(run) / "finished" / f"{name}.json"
