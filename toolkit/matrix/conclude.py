"""What became of a cell: the results of its shards as one, with all the reports of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_KERNEL,
    EXIT_OK,
    EXIT_USER,
    ToolkitError,
)
from toolkit.core.model.matrix import Cell, CellResult, Part
from toolkit.core.model.result import RunResult, Verdict
from toolkit.matrix import jobs
from toolkit.matrix.jobs import Planned
from toolkit.matrix.outcome import Ended
from toolkit.report import artifacts
from toolkit.testing import verdicts

MAX_BAD = 1000  # leaves that are named of a cell
_WORST = (EXIT_INTERRUPTED, EXIT_KERNEL, EXIT_USER, EXIT_INFRASTRUCTURE, EXIT_OK)
_VERDICTS = {
    EXIT_OK: Verdict.PASS,
    EXIT_KERNEL: Verdict.FAIL,
    EXIT_USER: Verdict.USER_ERROR,
    EXIT_INFRASTRUCTURE: Verdict.INFRASTRUCTURE,
}
_TESTS = "tests"  # in a run folder: what each program wrote


def worst(codes: Sequence[int]) -> int:
    """Return the exit code that stands for several.

    That something was not run goes before all; then come the kernel's fault, the caller's, and what
    could not be judged, since the host failed.
    """
    return min(codes, key=_WORST.index, default=EXIT_OK)


def conclude(
    planned: Planned, parts: Sequence[tuple[str, Ended]], root: Path
) -> tuple[CellResult, RunResult | None]:
    """Return what became of a cell, and its whole result where there is one.

    ``parts`` are how its runs ended, each with its folder relative to ``root``. Their results as
    one and its reports are written to the cell's folder. Raises :class:`OSError` where that fails.
    """
    results = [_result(root / folder) for folder, _ in parts]
    codes = [ended.outcome.exit_code for _, ended in parts]
    found = [result for result in results if result]
    seconds = sum(ended.outcome.seconds for _, ended in parts)
    all_parts = tuple(map(_part, parts, results))
    if not found:
        at = codes.index(worst(codes))
        verdict = _VERDICTS[codes[at]]
        message = all_parts[at].message
        return CellResult(
            planned.name,
            planned.cell,
            verdict,
            codes[at],
            jobs.command(planned.cell),
            message,
            seconds=round(seconds, 3),
            parts=all_parts,
        ), None
    whole = joined(planned.cell, found)
    folder = parts[0][0]
    if len(parts) > 1:
        folder = str(Path(folder).parent)
        for each, _ in parts:
            _share_logs(root / each / _TESTS, root / folder / _TESTS)
    if planned.name in Path(folder).parts:  # else it is that of a build, which others share
        artifacts.write(root / folder, whole)
    unknown = [code for code, its in zip(codes, results, strict=True) if its is None]
    exit_code = worst([whole.exit_code, *unknown])
    lost = exit_code != whole.exit_code
    message = next((each.message for each in all_parts if each.exit_code == exit_code), "")
    return CellResult(
        name=planned.name,
        cell=planned.cell,
        verdict=_VERDICTS[exit_code] if lost else whole.verdict,
        exit_code=exit_code,
        command=whole.command,
        message=message if lost else whole.message,
        release=whole.release,
        folder=folder,
        counts={s: n for s, n in verdicts.counts(whole.leaves).items() if n},
        bad=tuple(leaf.id for leaf in whole.leaves if leaf.status.bad)[:MAX_BAD],
        seconds=round(seconds, 3),
        parts=all_parts,
    ), whole


def joined(cell: Cell, results: Sequence[RunResult]) -> RunResult:
    """Return the results of a cell's shards as one, judged with what the cell expects."""
    first = max(results, key=lambda result: -_WORST.index(result.exit_code))
    leaves = tuple(
        verdicts.mark_known(verdicts.joined(r.leaves for r in results), cell.known_failures)
    )
    whole = replace(
        first,
        command=jobs.command(cell),
        started=min(result.started for result in results),
        seconds=round(sum(result.seconds for result in results), 3),
        stages=tuple(stage for result in results for stage in result.stages),
        leaves=leaves,
        splats=tuple(splat for result in results for splat in result.splats),
        blames=tuple(dict.fromkeys(blame for result in results for blame in result.blames)),
    )
    tested = (Verdict.PASS, Verdict.FAIL, Verdict.NO_TESTS)
    if not all(result.verdict in tested for result in results):
        return whole
    verdict, exit_code = verdicts.verdict(leaves)
    return replace(
        whole, verdict=verdict, exit_code=exit_code, message=verdicts.reason(leaves), detail=()
    )


def _result(folder: Path) -> RunResult | None:
    try:
        return artifacts.read_result(folder) if folder.is_dir() else None
    except ToolkitError:
        return None


def _part(entry: tuple[str, Ended], result: RunResult | None) -> Part:
    folder, ended = entry
    outcome = ended.outcome
    return Part(
        folder=folder if result else "",
        verdict=result.verdict if result else _VERDICTS[outcome.exit_code],
        exit_code=outcome.exit_code,
        seconds=outcome.seconds,
        attempts=ended.attempts,
        message=result.message if result else outcome.message,
    )


def _share_logs(source: Path, target: Path) -> None:
    """Put the logs of a shard's programs beside the others', where the cell's report has links."""
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(file, place)
