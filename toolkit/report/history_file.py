"""The file that the history lies in: SQLite, in its write-ahead mode.

Two runs may end at once, and a reader never waits.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.errors import InfrastructureError

VERSION = 1  # PRAGMA user_version
_ANEW = "move that file away; a new one is begun by the next run"
_BUSY_SECONDS = 20.0  # that one run may wait for another's few milliseconds
_AGAIN_SECONDS = 0.05
_SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    folder TEXT NOT NULL,
    started TEXT NOT NULL,
    seconds REAL NOT NULL,
    verdict TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    series TEXT NOT NULL,
    kernel TEXT NOT NULL,
    release TEXT NOT NULL,
    accelerator TEXT NOT NULL,
    build TEXT NOT NULL,
    command TEXT NOT NULL,
    bad INTEGER NOT NULL,
    leaves INTEGER NOT NULL
);
CREATE TABLE leaf (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE outcome (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    leaf INTEGER NOT NULL REFERENCES leaf,
    status TEXT NOT NULL,
    seconds REAL,
    PRIMARY KEY (leaf, run)
) WITHOUT ROWID;
CREATE INDEX outcome_run ON outcome (run);
CREATE TABLE stage (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name TEXT NOT NULL,
    seconds REAL NOT NULL,
    cached INTEGER NOT NULL
);
CREATE INDEX stage_name ON stage (name, run);
CREATE INDEX stage_run ON stage (run);
"""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database, which is created where there is none, and bring it to this version."""
    try:
        with contextlib.closing(
            sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as db:
            db.execute("PRAGMA foreign_keys = ON")
            _migrate(db, path)
            yield db
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: of a damaged schema
        what = f"the history in {path} cannot be used: {error}"
        raise InfrastructureError(what, hint=_ANEW) from error


@contextlib.contextmanager
def sound(path: Path) -> Iterator[None]:
    """Take values as what they should be; a column of SQLite has any kind."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise InfrastructureError(f"{path} is damaged: {error}", hint=_ANEW) from error


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    if _version(db) == VERSION:
        return
    _to_wal(db)
    with transaction(db):
        version = _version(db)  # again: another run may have been quicker
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise InfrastructureError(
                f"the history in {path} has version {version}, this toolkit knows {VERSION}",
                hint="use the newer toolkit, or move that file away",
            )


def _to_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead mode, which SQLite refuses at once while another run does it."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write everything or nothing; the lock is taken at once, so that two runs queue."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
