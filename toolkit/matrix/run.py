"""One run of a matrix: its inputs, its folder, its cluster, its jobs, its reports."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import toolkit
from toolkit.core.deadline import Deadline
from toolkit.core.errors import EXIT_INTERRUPTED, InfrastructureError
from toolkit.core.model.matrix import CellResult, MatrixResult
from toolkit.core.model.result import Verdict
from toolkit.core.paths import Paths
from toolkit.host.cache import digest
from toolkit.host.git import Repository
from toolkit.kernel import source
from toolkit.kernel.source.git import Git
from toolkit.matrix import conclude, inputs, jobs, run_folder, version
from toolkit.matrix.book import FolderBook
from toolkit.matrix.cells import Matrix
from toolkit.matrix.engine import Engine, Watcher
from toolkit.matrix.jobs import Planned
from toolkit.matrix.pool import Pool
from toolkit.report import history
from toolkit.report.matrix import folder as reports
from toolkit.workflow import base_choice

_SECONDS = 60.0  # for git to name the commits of the kernels


class Listener(Watcher, Protocol):
    """What a run tells; the terminal's display is one."""

    def notice(self, text: str) -> None:
        """Show a line that matters to the reader."""


# Opens a pool for a run of a matrix, by its name, with its inputs.
OpenPool = Callable[[str, bytes], AbstractContextManager[Pool]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants beside the matrix itself. ``command`` repeats it."""

    file: Path
    command: tuple[str, ...]
    run_dir: Path | None = None  # for the results
    fresh: bool = False  # whatever was interrupted does not count
    patience: float = 0.0  # seconds to wait for a worker that can do a job
    step_summary: Path | None = None


def run(
    matrix: Matrix, asked: Asked, paths: Paths, open_pool: OpenPool, listener: Listener
) -> tuple[MatrixResult, Path]:
    """Run a matrix, or what is left of it, and return what came out, with its folder.

    Its reports are written however it ends. Raises :class:`UserError` for what its cells name and
    is not there, and :class:`InfrastructureError` where the cluster is lost.
    """
    began = time.monotonic()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    its = inputs.gather(matrix.cells, paths)
    cells = jobs.planned(matrix.cells, its.cells)
    identity = _identity(matrix, its)
    opened = run_folder.open_folder(
        paths, asked.file, identity, started, wanted=asked.run_dir, fresh=asked.fresh
    )
    with opened as folder:
        listener.notice(f"folder of the matrix: {folder.path}")
        if folder.going_on:
            listener.notice(f"going on with what began at {folder.state.started}")
        book = FolderBook(folder, paths, listener.notice)

        def report() -> MatrixResult:
            seconds = round(time.monotonic() - began, 3)
            results = [book.results.get(cell.name) or _not_run(cell) for cell in cells]
            result = MatrixResult(
                title=matrix.title,
                exit_code=conclude.worst([each.exit_code for each in results]),
                command=asked.command,
                started=folder.state.started,
                seconds=seconds,
                toolkit=toolkit.__version__,
                cells=tuple(results),
            )
            reports.write(folder.path, result, asked.step_summary)
            return result

        try:
            with open_pool(folder.state.run, its.archive) as pool:
                Engine(
                    folder.state.run,
                    cells,
                    pool,
                    book,
                    listener,
                    version=version.this(),
                    took=lambda names: _took(names, paths),
                    shard_seconds=matrix.shard_seconds,
                    patience=asked.patience,
                ).go()
                pool.forget()
        except BaseException:
            report()
            raise
        result = report()
        folder.finish()
        return result, folder.path


def _identity(matrix: Matrix, its: inputs.Inputs) -> str:
    """Return what tells runs apart that have not the same jobs."""
    cells = [asdict(cell) for cell in matrix.cells]
    kernels = {kernel: _commit(kernel) for kernel in {cell.kernel for cell in its.cells}}
    return digest(version.this(), its.digest, cells, matrix.shard_seconds, kernels)


def _commit(kernel: str) -> str:
    """Return which tree a kernel of a local repository names now; "" for any other."""
    if kernel.partition(":")[0] == base_choice.AUTO:
        return ""
    provider = source.parse(kernel)
    if not isinstance(provider, Git) or not provider.path.is_dir():
        return ""
    return Repository(provider.path).tree_id(provider.revision, Deadline.after(_SECONDS))


def _took(names: Iterable[str], paths: Paths) -> Mapping[str, float]:
    try:
        last = history.last_runs(paths.history, names)
    except InfrastructureError:
        return {}
    return {name: run.seconds for name, run in last.items() if run.seconds is not None}


def _not_run(planned: Planned) -> CellResult:
    return CellResult(
        planned.name,
        planned.cell,
        Verdict.INTERRUPTED,
        EXIT_INTERRUPTED,
        jobs.command(planned.cell),
        "not run: the matrix was interrupted; the same command goes on",
    )
