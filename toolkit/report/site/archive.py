"""What several histories hold, read as files of strangers and merged; one run counts once.

A history is a database of :mod:`toolkit.report.history`. Here it may have come from another
machine, so nothing in it is believed: its tables must be tables, every value has its type checked,
and reading is bounded in time and in what it keeps.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolkitError, UserError
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Status
from toolkit.report import history, history_file

MAX_RUNS = history.MAX_RUNS
MAX_BYTES = 14_000_000  # of names and results, as the page holds them
_OUTCOME_BYTES = 6  # one result with its time, about
_NAME_BYTES = 16  # what a case costs besides its name
_RUN_BYTES = 120
_STAGE_BYTES = 16
_PLAIN = re.compile(r"[\w ./:=,@+-]*", re.ASCII)  # in JSON as long as they are
_ESCAPED = 12  # bytes of any other character at most
_MAX_TEXT = 1000  # characters that the page shows of any text
_MAX_VALUE = 1 << 20  # bytes of one value in a database
_STEPS = 100_000  # of SQLite's machine, between two looks at the clock
_TABLES = ("run", "leaf", "outcome", "stage")
_ALL_RUNS = (
    "SELECT id, folder, started, seconds, verdict, exit_code, series, kernel, release, "
    "accelerator, build, command, bad, leaves FROM run ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, with its stages in their order."""

    folder: Path
    started: int  # seconds since 1970, UTC
    seconds: float
    verdict: Verdict
    exit_code: int
    series: str
    kernel: str
    release: str
    accelerator: str
    build: str  # of the kernel: runs with the same one tested the same kernel
    command: str
    bad: int
    leaves: int
    stages: tuple[tuple[str, float, bool], ...]  # name, seconds, found in the cache


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one leaf gave in one run; ``run`` counts from 0 in :attr:`Archive.runs`."""

    run: int
    status: Status
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Archive:
    """Runs, the oldest first, and what each leaf gave in them, in the same order."""

    runs: tuple[Run, ...]
    leaves: dict[str, list[Outcome]]
    left_out_runs: int = 0  # older ones, for want of room
    left_out_results: int = 0  # of a run that was too large by itself

    @property
    def results(self) -> int:
        """How many results there are in all."""
        return sum(map(len, self.leaves.values()))


def read(
    paths: Sequence[Path],
    deadline: Deadline,
    *,
    fault: type[ToolkitError] = UserError,
    max_bytes: int = MAX_BYTES,
) -> Archive:
    """Return what the histories hold together, the newest runs first until ``max_bytes`` are full.

    Runs that are the same in everything but their place in a database are one run: a history that
    was copied goes on in both places. Raises :class:`UserError` where none has a run, and ``fault``
    for what is no history, for a damaged one, and for one of another version.
    """
    with contextlib.ExitStack() as stack:
        histories = [
            _History(stack.enter_context(_open(path, deadline, fault)), path, fault)
            for path in paths
        ]
        found: dict[tuple[object, ...], tuple[_History, object]] = {}
        for each in histories:
            for row_id, *row in each.rows(_ALL_RUNS):
                found.setdefault(tuple(row), (each, row_id))
        if not found:
            named = ", ".join(map(str, paths))
            raise UserError(
                f"no run has been recorded in {named}", hint="run toolkit build-and-test first"
            )
        places = [(each.run(row_id, row), each, row_id) for row, (each, row_id) in found.items()]
        places.sort(key=lambda place: place[0].started)  # stable: equal ones in their own order
        return _fill(places, max_bytes)


def _fill(places: Sequence[tuple[Run, _History, object]], room: int) -> Archive:
    """Take the results of the newest runs, as many whole runs as there is room for."""
    kept: list[Run] = []
    taken: list[list[tuple[str, Status, float | None]]] = []
    names: set[str] = set()
    left_out_results = 0
    for run, source, row_id in reversed(places[-MAX_RUNS:]):
        outcomes = source.outcomes(row_id)
        room -= _run_cost(run)
        needed = cost(outcomes, names)
        if needed > room and kept:
            break
        if needed > room:  # the newest run by itself: what failed, and what of the rest goes in
            whole = len(outcomes)
            outcomes = _fitting(outcomes, room)
            left_out_results, needed = whole - len(outcomes), room
        room -= needed
        names.update(name for name, _, _ in outcomes)
        kept.append(run)
        taken.append(outcomes)
    kept.reverse()
    leaves: dict[str, list[Outcome]] = {}
    for number, outcomes in enumerate(reversed(taken)):
        for name, status, seconds in outcomes:
            leaves.setdefault(name, []).append(Outcome(number, status, seconds))
    return Archive(tuple(kept), leaves, len(places) - len(kept), left_out_results)


def _run_cost(run: Run) -> int:
    texts = (run.folder.name, run.series, run.kernel, run.release, run.accelerator, run.build)
    stages = sum(_STAGE_BYTES + _length(name) for name, _, _ in run.stages)
    return _RUN_BYTES + sum(map(_length, (*texts, run.command))) + stages


def cost(outcomes: Iterable[tuple[str, Status, float | None]], names: set[str]) -> int:
    """Return at most how many bytes results take in a page that has the leaves ``names``."""
    return sum(
        _OUTCOME_BYTES + (0 if name in names else _length(name) + _NAME_BYTES)
        for name, _, _ in outcomes
    )


def _length(text: str) -> int:
    """Return at most how many bytes a text takes in the page."""
    shown = text[:_MAX_TEXT]
    return len(shown) * (1 if _PLAIN.fullmatch(shown) else _ESCAPED)


def _fitting(
    outcomes: list[tuple[str, Status, float | None]], room: int
) -> list[tuple[str, Status, float | None]]:
    fitting = []
    for outcome in sorted(outcomes, key=lambda each: not each[1].bad):
        room -= cost([outcome], set())
        if room < 0:
            break
        fitting.append(outcome)
    return fitting


# --- one database ------------------------------------------------------------------------------


@contextlib.contextmanager
def _open(
    path: Path, deadline: Deadline, fault: type[ToolkitError]
) -> Iterator[sqlite3.Connection]:
    """Open a history for reading alone."""
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise UserError(f"the history {path} {what}", hint="name a file history.sqlite")
    try:
        with contextlib.closing(_connect(path)) as db:
            # A view may compute for ever; so may a query over damaged pages.
            db.set_progress_handler(lambda: int(deadline.expired()), _STEPS)
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA cell_size_check = ON")
            _check(db, path, fault)
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: of a damaged schema
        raise fault(
            f"the history {path} cannot be read: {error}",
            hint="leave it out, or move it away; a new one is begun by the next run",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database that is only read, also where its folder cannot be written to.

    Elsewhere it is opened as for writing: a reader of the write-ahead mode makes two files beside
    the database, and one that may not write leaves them there.
    """
    uri = f"file:{quote(str(path.absolute()))}"
    db = sqlite3.connect(f"{uri}?mode=rw", uri=True, isolation_level=None, timeout=20)
    try:
        db.execute("PRAGMA query_only = ON")
        db.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError:
        db.close()
        db = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
    return db


def _check(db: sqlite3.Connection, path: Path, fault: type[ToolkitError]) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0 or (version == history_file.VERSION and not tables.issuperset(_TABLES)):
        raise fault(
            f"{path} is no history of the toolkit",
            hint="it is called history.sqlite, below the XDG state folder",
        )
    if version != history_file.VERSION:
        raise fault(
            f"the history {path} has version {version}, this toolkit knows {history_file.VERSION}",
            hint="use the newer toolkit",
        )


@dataclass(frozen=True, slots=True)
class _History:
    """An open database, whose values are checked as they are read."""

    db: sqlite3.Connection
    path: Path
    fault: type[ToolkitError]

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Return what a query gives; no more than a history can hold."""
        return self.db.execute(query, values).fetchmany(history.MAX_OUTCOMES)

    def run(self, row_id: object, row: Sequence[object]) -> Run:
        """Return a run from the columns of ``_ALL_RUNS``, without its id."""
        with self._checked(f"run {row_id}"):
            folder, started, seconds, verdict, code, *texts, command, bad, leaves = row
            series, kernel, release, accelerator, build = map(_text, texts)
            stages = self.rows(
                "SELECT name, seconds, cached FROM stage WHERE run = ? ORDER BY rowid LIMIT 100",
                row_id,
            )
            return Run(
                folder=Path(_text(folder)),
                started=_epoch(_text(started)),
                seconds=_seconds(seconds),
                verdict=Verdict(_text(verdict)),
                exit_code=_count(code),
                series=series,
                kernel=kernel,
                release=release,
                accelerator=accelerator,
                build=build,
                command=_command(_text(command)),
                bad=_count(bad),
                leaves=_count(leaves),
                stages=tuple(
                    (_text(name), _seconds(took), bool(cached)) for name, took, cached in stages
                ),
            )

    def outcomes(self, row_id: object) -> list[tuple[str, Status, float | None]]:
        """Return a run's results: leaf, status and seconds."""
        query = (
            "SELECT name, status, seconds FROM outcome JOIN leaf ON leaf.id = outcome.leaf "
            "WHERE run = ? ORDER BY leaf.id"
        )
        with self._checked(f"a result of run {row_id}"):
            return [
                (_text(name), _STATUSES[status], None if took is None else _seconds(took))
                for name, status, took in self.rows(query, row_id)
            ]

    @contextlib.contextmanager
    def _checked(self, where: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.fault(
                f"the history {self.path} is damaged: {where}: {error}",
                hint="leave it out, or move it away; a new one is begun by the next run",
            ) from error


_STATUSES: dict[object, Status] = {status.value: status for status in Status}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{str(value)[:40]!r} is no text")


def _count(value: object) -> int:
    if isinstance(value, int) and value >= 0:
        return value
    raise ValueError(f"{str(value)[:40]!r} is no count")


def _seconds(value: object) -> float:
    """Return a time; a clock that was set back gives 0, not a negative one."""
    if isinstance(value, int | float) and math.isfinite(value):
        return min(max(float(value), 0.0), 1e9)
    raise ValueError(f"{str(value)[:40]!r} is no time")


def _epoch(value: str) -> int:
    when = datetime.fromisoformat(value)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _command(value: str) -> str:
    words = json.loads(value)
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return shlex.join(words)
    raise ValueError("its command is no list of words")
