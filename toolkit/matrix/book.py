"""Writes down what ends: jobs and cells in the folder of the matrix, runs in the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.core.errors import EXIT_KERNEL, EXIT_OK, InfrastructureError
from toolkit.core.model.matrix import Cell, CellResult, Change
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.paths import Paths
from toolkit.host.cache import digest
from toolkit.matrix import conclude, json_file
from toolkit.matrix.jobs import Job, Planned
from toolkit.matrix.outcome import Ended
from toolkit.matrix.run_folder import RunFolder
from toolkit.report import history
from toolkit.report.matrix import document, view


class FolderBook:
    """See :class:`toolkit.matrix.engine.Book`; ``results`` has the cells that have ended.

    ``notice`` hears of what cannot be recorded and hurts no verdict.
    """

    def __init__(self, folder: RunFolder, paths: Paths, notice: Callable[[str], object]) -> None:
        self.results: dict[str, CellResult] = {}
        self._folder, self._paths, self._notice = folder, paths, notice
        self._complained = False

    def ended(self, name: str) -> Ended | None:
        """See the class."""
        return self._folder.ended(name)

    def shards(self, cell: str) -> tuple[tuple[str, ...], ...] | None:
        """See the class."""
        return self._folder.shards(cell)

    def store_shards(self, cell: str, shards: Sequence[Sequence[str]]) -> None:
        """See the class."""
        self._folder.store_shards(cell, shards)

    def store_job(self, job: Job, ended: Ended) -> None:
        """See the class."""
        self._folder.store(ended, self._folder.path / job.folder if job.folder else None)

    def store_cell(self, cell: Planned, parts: Sequence[tuple[Job, Ended]]) -> tuple[int, str]:
        """See the class."""
        file = self._folder.path / "results" / f"{cell.name}.json"
        result = _stored(file)
        if result is None:
            folders = [(job.folder, ended) for job, ended in parts]
            result, whole = conclude.conclude(cell, folders, self._folder.path)
            last = json_file.read(self._last_file(cell.cell))
            result = replace(result, change=_change(result, last or {}))
            json_file.write_bytes(file, document.of_cell(result))
            self._record(result, whole)
        self.results[cell.name] = result
        return result.exit_code, view.in_words(result)

    def _record(self, result: CellResult, whole: RunResult | None) -> None:
        """Record a cell in the history, and for its next run; no verdict depends on either."""
        try:
            last = {
                "started": self._folder.state.started,
                "verdict": result.verdict.value,
                "bad": list(result.bad),
            }
            json_file.write(self._last_file(result.cell), last)
            if whole:
                history.record(self._paths.history, whole, self._folder.path / result.folder)
        except (InfrastructureError, OSError) as error:
            if not self._complained:
                self._notice(f"cells are not in the history: {error}")
            self._complained = True

    def _last_file(self, cell: Cell) -> Path:
        return self._paths.runs.parent / "matrix-cells" / f"{digest(cell.axes)}.json"


def _stored(file: Path) -> CellResult | None:
    try:
        return document.read_cell(file.read_bytes())
    except (OSError, ValueError):
        return None


def _change(result: CellResult, last: Mapping[str, Any]) -> Change | None:
    """Return what became of a cell since its ``last`` run; None where it had none."""
    try:
        verdict, before = Verdict(last["verdict"]), set(map(str, last["bad"]))
    except (KeyError, ValueError, TypeError):
        return None
    broken = tuple(name for name in result.bad if name not in before)
    # Of a cell that was not judged nobody knows whether anything is mended.
    judged = result.exit_code in (EXIT_OK, EXIT_KERNEL) and bool(result.counts)
    mended = tuple(sorted(before - set(result.bad))) if judged else ()
    return Change(str(last.get("started", "")), verdict, broken, mended)
