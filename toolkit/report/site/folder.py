"""The folder that the page lies in, with copies of the reports of some runs."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.core import files
from toolkit.core.errors import UserError
from toolkit.report import artifacts
from toolkit.report.site import page
from toolkit.report.site.archive import Run

INDEX = "index.html"
REPORTS = "reports"
MAX_REPORT = 2_000_000  # bytes of one
MAX_REPORTS = 5_000_000  # of all


def claim(folder: Path) -> None:
    """Make ``folder`` where there is none, and see that a page may be written into it.

    Raises :class:`UserError` where it cannot be made or written to, and where it has a page of
    another origin.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {folder}: {error.strerror}", hint="name another folder"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"the folder {folder} cannot be written to", hint="name another, or see who owns it"
        )
    index = folder / INDEX
    if index.exists() and not _ours(index):
        raise UserError(
            f"{index} was not written by toolkit site, and is left alone",
            hint="name a new folder, or one that toolkit site has made",
        )


def _ours(index: Path) -> bool:
    try:
        with index.open("rb") as file:
            return f'content="{page.GENERATOR}"'.encode() in file.read(4096)
    except OSError:
        return False


def copy_reports(folder: Path, runs: Sequence[Run], newest: int) -> dict[int, str]:
    """Copy the reports of the last ``newest`` runs, and remove those of earlier calls.

    Returns a link to each, by the run's number. A run whose folder is not on this host, and a
    report that is too large, has none.
    """
    links: dict[int, str] = {}
    room = MAX_REPORTS
    for number in range(len(runs) - 1, max(len(runs) - newest, 0) - 1, -1):
        report = _report(runs[number].folder)
        if report is None or len(report) > room:
            continue
        room -= len(report)
        digest = hashlib.sha256(report).hexdigest()[:12]
        links[number] = f"{REPORTS}/{runs[number].started}-{digest}.html"
        (folder / REPORTS).mkdir(exist_ok=True)
        files.replace(folder / links[number], [report])
    _forget(folder, links)
    return links


def _report(run: Path) -> bytes | None:
    """Return a run's report, if what is there is one of a run."""
    try:
        if not stat.S_ISREG((run / artifacts.RESULT).lstat().st_mode):
            return None
        descriptor = os.open(run / artifacts.HTML, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            report = file.read(MAX_REPORT + 1)
    except (OSError, ValueError):
        return None
    return report if len(report) <= MAX_REPORT else None


def _forget(folder: Path, links: Mapping[int, str]) -> None:
    for path in (folder / REPORTS).glob("[0-9]*-????????????.html"):
        if f"{REPORTS}/{path.name}" not in links.values():
            path.unlink(missing_ok=True)


def write(folder: Path, content: bytes) -> Path:
    """Write the page, whole or not at all, and return where it is."""
    files.replace(folder / INDEX, [content])
    return folder / INDEX
