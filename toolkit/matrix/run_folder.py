"""The folder of a matrix: what it consists of, and what is finished.

Everything is written as soon as it is known, and whole or not at all, so that a client that died
goes on where it was. ``state.json`` says of which run that is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolkit.core import paths as places
from toolkit.core.errors import UserError
from toolkit.core.paths import Paths
from toolkit.host import locks
from toolkit.matrix import json_file, outcome
from toolkit.matrix.outcome import Ended

STATE = "state.json"
CELLS, BUILDS = "cells", "builds"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class State:
    """Which run of a matrix a folder holds. Those with one ``identity`` have the same jobs."""

    run: str
    identity: str
    file: str
    started: str  # ISO 8601, UTC
    ended: bool = False
    format: int = _FORMAT


class RunFolder:
    """One folder of a matrix."""

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        self.state = state

    @property
    def going_on(self) -> bool:
        """Whether something in it is finished already."""
        return any(self._jobs().glob("*.json"))

    def finish(self) -> None:
        """Note that the matrix has come to its end: the next run is another one."""
        self.state = replace(self.state, ended=True)
        json_file.write(self.path / STATE, asdict(self.state))

    # --- jobs ----------------------------------------------------------------------------

    def ended(self, name: str) -> Ended | None:
        """Return how a job ended; None for one that has to be done."""
        data = json_file.read(self._jobs() / f"{name}.json")
        attempts = data.pop("attempts", None) if data else None
        ended = outcome.of_data(data) if data else None
        return Ended(ended, attempts) if ended and isinstance(attempts, int) else None

    def store(self, ended: Ended, folder: Path | None) -> None:
        """Store how a job ended, and before that its run folder in ``folder``."""
        if folder and ended.outcome.archive:
            outcome.unpack(ended.outcome.archive, folder)
        data = {**outcome.to_data(ended.outcome), "attempts": ended.attempts}
        json_file.write(self._jobs() / f"{ended.outcome.name}.json", data)

    def shards(self, cell: str) -> tuple[tuple[str, ...], ...] | None:
        """Return the programs of each shard of a cell; None where it was not cut yet."""
        data = json_file.read(self.path / "shards" / f"{cell}.json")
        return tuple(map(tuple, data["shards"])) if data else None

    def store_shards(self, cell: str, shards: Sequence[Sequence[str]]) -> None:
        """Store how the programs of a cell are cut."""
        json_file.write(
            self.path / "shards" / f"{cell}.json", {"shards": [list(each) for each in shards]}
        )

    def _jobs(self) -> Path:
        return self.path / "jobs"


@contextlib.contextmanager
def open_folder(
    paths: Paths, file: Path, identity: str, started: str, *, wanted: Path | None, fresh: bool
) -> Iterator[RunFolder]:
    """Give the folder of a run: the one that was interrupted, or else a new one.

    ``wanted`` is the caller's choice of a folder. ``fresh``: whatever was interrupted does not
    count. Raises :class:`UserError` for a folder that holds something else.
    """
    name = str(file.resolve())
    new = State(os.urandom(8).hex(), identity, name, started)
    if wanted:
        path, state = wanted.absolute(), new
        path.mkdir(parents=True, exist_ok=True)
        there = _state(path)
        if there and _goes_on(there, new) and not fresh:
            state = there
        elif any(path.iterdir()):
            ended = "a matrix that is finished" if there and there.ended else "something else"
            raise UserError(f"{path} holds {ended}", hint="name a new folder with --run-dir")
    else:
        found = None if fresh else _interrupted(paths, new)
        path, state = found or (places.new_run_dir(root(paths), file.stem), new)
    with locks.in_use(path):
        if state is new:
            json_file.write(path / STATE, asdict(state))
        yield RunFolder(path, state)


def root(paths: Paths) -> Path:
    """Return the folder with the matrices' own."""
    return paths.runs.parent / "matrix"


def _interrupted(paths: Paths, new: State) -> tuple[Path, State] | None:
    for path in sorted(root(paths).glob("*Z-*"), reverse=True):
        state = _state(path)
        if state and _goes_on(state, new) and not locks.is_in_use(path):
            return path, state
    return None


def _goes_on(state: State, new: State) -> bool:
    same = (state.file, state.identity) == (new.file, new.identity)
    return same and not state.ended and state.format == _FORMAT


def _state(path: Path) -> State | None:
    data = json_file.read(path / STATE)
    try:
        return State(**data) if data else None
    except TypeError:
        return None
