"""The runs there were: their folders, and a database in which a test is followed over runs.

The database (:mod:`toolkit.report.history_file`) is bounded: the oldest runs go when there are more
than :data:`MAX_RUNS` of them, or their cases are more than :data:`MAX_OUTCOMES`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core import arch, paths
from toolkit.core.errors import UserError
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Status
from toolkit.report import history_file
from toolkit.testing import verdicts

MAX_RUNS = 2000
MAX_OUTCOMES = 1_000_000
LAST = "last"
_RESULT = "result.json"
_BAD = frozenset(status.value for status in Status if status.bad)

# What runs a :class:`Which` stands for: those with its word, if it has one, behind the release.
_WANTED = "? IN ('', series) AND (? IS NULL OR substr(release, instr(release || ' ', ' ') + 1) = ?)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One run, as a list of runs shows it."""

    folder: Path
    started: str
    seconds: float
    verdict: Verdict
    series: str
    release: str
    accelerator: str
    bad: int
    leaves: int


@dataclass(frozen=True, slots=True)
class Which:
    """Which runs: of a series, and of an architecture; "" and None stand for any."""

    series: str = ""
    architecture: str | None = None

    def values(self) -> tuple[str | None, ...]:
        """Return the parameters of :data:`_WANTED`."""
        foreign = None if self.architecture is None else arch.foreign(self.architecture)
        return self.series, foreign, foreign


ALL = Which()


@dataclass(frozen=True, slots=True)
class LastRun:
    """What became of a test program when it last ran; without ``seconds`` nobody took its time."""

    seconds: float | None
    bad: bool


@dataclass(frozen=True, slots=True)
class Point:
    """The result of a leaf, or the time of a stage, in one run."""

    folder: Path
    started: str
    series: str
    release: str
    status: str  # of the leaf; for a stage: done or found
    seconds: float | None


def locate(name: str, folder: Path) -> Path:
    """Return the run folder that ``name`` means, in ``folder`` unless it is a path.

    ``last`` is the newest; otherwise a part of one folder's name will do. Raises
    :class:`UserError` for none and for several.
    """
    path = paths.expand(name)
    if (path / _RESULT).is_file():
        return path
    if path.is_file() and path.name == _RESULT:
        return path.parent
    recorded = sorted(each.parent for each in folder.glob(f"*/{_RESULT}"))
    if name == LAST and recorded:
        return recorded[-1]
    matching = [each for each in recorded if name in each.name]
    if len(matching) == 1:
        return matching[0]
    recent = ", ".join(each.name for each in (matching or recorded)[-5:]) or "none"
    problem = "may be one of several runs" if matching else "is no run"
    raise UserError(
        f"{name!r} {problem}", hint=f"name a run folder, or one of those in {folder}: {recent}"
    )


# --- the database --------------------------------------------------------------------------


def record(path: Path, result: RunResult, folder: Path) -> None:
    """Add a run, and let the oldest go where there are too many.

    Raises :class:`InfrastructureError` when the database cannot be written, is damaged, or was
    made by a newer toolkit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with history_file.opened(path) as db, history_file.transaction(db):
        counted = verdicts.counts(result.leaves)
        bad = sum(number for status, number in counted.items() if status.bad)
        row = db.execute(
            "INSERT INTO run VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                _text(str(folder)),
                *(result.started, result.seconds, result.verdict.value, result.exit_code),
                *map(_text, (result.series, result.kernel, _release(result), result.accelerator)),
                result.environment.build,
                _text(json.dumps(result.command)),
                *(bad, len(result.leaves)),
            ],
        )
        run, names = row.lastrowid, {leaf.id: _text(leaf.id) for leaf in result.leaves}
        db.executemany(
            "INSERT INTO leaf (name) VALUES (?) ON CONFLICT DO NOTHING",
            [(name,) for name in names.values()],
        )
        db.executemany(
            "INSERT OR REPLACE INTO outcome SELECT ?, id, ?, ? FROM leaf WHERE name = ?",
            [(run, leaf.status.value, leaf.seconds, names[leaf.id]) for leaf in result.leaves],
        )
        db.executemany(
            "INSERT INTO stage VALUES (?, ?, ?, ?)",
            [(run, _text(each.name), each.seconds, each.cached) for each in result.stages],
        )
        _prune(db)


def _release(result: RunResult) -> str:
    """Return the release, and behind it the architecture where that is not the host's own."""
    foreign = arch.foreign(result.environment.architecture)
    return f"{result.release} {foreign}" if result.release and foreign else result.release


def _prune(db: sqlite3.Connection) -> None:
    """Delete the oldest runs beyond both bounds; the newest one always stays."""
    (oldest,) = db.execute(
        """
        SELECT coalesce(min(id), 0) FROM (
            SELECT id, row_number() OVER newest AS place, sum(leaves) OVER newest AS outcomes
            FROM run WINDOW newest AS (ORDER BY id DESC)
        ) WHERE place = 1 OR (place <= ? AND outcomes <= ?)
        """,
        (MAX_RUNS, MAX_OUTCOMES),
    ).fetchone()
    if db.execute("DELETE FROM run WHERE id < ?", (oldest,)).rowcount:
        db.execute("DELETE FROM leaf WHERE id NOT IN (SELECT leaf FROM outcome)")


def runs(path: Path, *, limit: int, which: Which = ALL) -> list[Entry]:
    """Return the last runs, the newest last; none where there is no database yet."""
    if not path.exists():
        return []
    with history_file.opened(path) as db:
        rows = db.execute(
            f"""
            SELECT folder, started, seconds, verdict, series, release, accelerator, bad, leaves
            FROM run WHERE {_WANTED} ORDER BY id DESC LIMIT ?
            """,  # noqa: S608 - a constant
            (*which.values(), limit),
        ).fetchall()
    with history_file.sound(path):
        return [
            Entry(Path(a), str(b), float(c), Verdict(d), str(e), str(f), str(g), int(h), int(i))
            for a, b, c, d, e, f, g, h, i in reversed(rows)
        ]


def find_leaf(path: Path, wanted: str) -> str:
    """Return the one leaf that ``wanted`` names: its id, or a part of it.

    Raises :class:`UserError` for none and for several.
    """
    if not path.exists():
        raise UserError("no run has been recorded yet", hint="run toolkit build-and-test first")
    with history_file.opened(path) as db:
        if db.execute("SELECT 1 FROM leaf WHERE name = ?", (wanted,)).fetchone():
            return wanted
        rows = db.execute(
            "SELECT name FROM leaf WHERE instr(name, ?) ORDER BY name LIMIT 11", (wanted,)
        ).fetchall()
    names = [str(name) for (name,) in rows]
    if len(names) == 1:
        return names[0]
    if names:
        listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        raise UserError(f"{wanted!r} fits several tests", hint=f"there is: {listed}")
    raise UserError(f"no recorded run has a test {wanted!r}", hint="toolkit history lists the runs")


def leaves(path: Path, beginning: str) -> list[str]:
    """Return the ids of tests that begin so, in their order; at most a hundred."""
    if not path.exists():
        return []
    query = "SELECT name FROM leaf WHERE substr(name, 1, ?) = ? ORDER BY name LIMIT 100"
    with history_file.opened(path) as db:
        rows = db.execute(query, (len(beginning), beginning))
        return [str(name) for (name,) in rows]


def last_runs(path: Path, programs: Iterable[str]) -> dict[str, LastRun]:
    """Return what became of each test program, named ``suite/program``, when it last ran.

    What was never recorded is absent.
    """
    if not path.exists():
        return {}
    # "0" comes right after "/", so these are the program and all of its cases.
    query = """
        WITH mine AS (
            SELECT id FROM leaf WHERE name = ?1 OR (name > ?1 || '/' AND name < ?1 || '0')
        )
        SELECT status, seconds FROM outcome WHERE leaf IN mine
        AND run = (SELECT max(run) FROM outcome WHERE leaf IN mine)
    """
    with history_file.opened(path) as db:
        rows = {each: db.execute(query, (_text(each),)).fetchall() for each in programs}
    return {program: _last(outcomes) for program, outcomes in rows.items() if outcomes}


def _last(outcomes: Sequence[tuple[str, float | None]]) -> LastRun:
    seconds = [took for _, took in outcomes if took is not None]
    bad = any(status in _BAD for status, _ in outcomes)
    return LastRun(sum(seconds) if seconds else None, bad)


def leaf_points(path: Path, leaf: str, *, limit: int, which: Which = ALL) -> list[Point]:
    """Return a leaf's results in the last runs, the newest last."""
    return _points(
        path,
        f"""
        SELECT folder, started, series, release, status, outcome.seconds
        FROM outcome JOIN run ON run.id = outcome.run JOIN leaf ON leaf.id = outcome.leaf
        WHERE name = ? AND {_WANTED} ORDER BY run.id DESC LIMIT ?
        """,  # noqa: S608 - a constant
        (leaf, *which.values(), limit),
    )


def stage_points(path: Path, stage: str, *, limit: int, which: Which = ALL) -> list[Point]:
    """Return a stage's times in the last runs, the newest last."""
    return _points(
        path,
        f"""
        SELECT folder, started, series, release,
               CASE cached WHEN 1 THEN 'found' ELSE 'done' END, stage.seconds
        FROM stage JOIN run ON run.id = stage.run
        WHERE name = ? AND {_WANTED} ORDER BY run.id DESC LIMIT ?
        """,  # noqa: S608 - a constant
        (stage, *which.values(), limit),
    )


def stages(path: Path) -> list[str]:
    """Return the names of the stages that were ever recorded, the most frequent ones first."""
    if not path.exists():
        return []
    with history_file.opened(path) as db:
        rows = db.execute("SELECT name FROM stage GROUP BY name ORDER BY count(*) DESC LIMIT 50")
        return [str(name) for (name,) in rows.fetchall()]


def _points(path: Path, query: str, values: tuple[object, ...]) -> list[Point]:
    if not path.exists():
        return []
    with history_file.opened(path) as db:
        rows = db.execute(query, values).fetchall()
    with history_file.sound(path):
        return [
            Point(Path(a), str(b), str(c), str(d), str(e), None if f is None else float(f))
            for a, b, c, d, e, f in reversed(rows)
        ]


def bad(point: Point) -> bool:
    """Return whether a point is a leaf's failure."""
    return point.status in _BAD


# --- the file ------------------------------------------------------------------------------


def _text(raw: str) -> str:
    """Return text that SQLite can hold: bytes of a name that are no UTF-8 are written out."""
    return os.fsencode(raw).decode(errors="backslashreplace")
