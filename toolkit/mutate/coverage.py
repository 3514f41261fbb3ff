"""Which programs run which lines of a series: measured once, on a kernel that counts lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core.errors import KernelError, UserError
from toolkit.core.observer import PrefixedObserver
from toolkit.host.cache import digest
from toolkit.mutate.order import Covered
from toolkit.testing.gcda import BOOT
from toolkit.workflow import pipeline, stage_work
from toolkit.workflow.reached import Reached
from toolkit.workflow.run import Run

_KIND = "ran-lines"
_FILE = "lines.json"
_LABEL = "coverage"


def covered_lines(run: Run, programs: Sequence[str]) -> Covered:
    """Return which of ``programs`` ran each line of the run's series.

    It is kept in the cache for as long as the series and its tests do not change. Where the kernel
    cannot be built to count lines, there is a notice, and every program may run every line.
    """
    files = [
        [
            built.name,
            sorted(
                (path.name, digest(path.read_bytes()))
                for path in built.path.iterdir()
                if path.is_file()
            ),
        ]
        for built in run.built_suites
    ]
    tests = [sorted(programs), sorted(run.request.tests), run.request.slow]
    key = digest(run.tree.key, run.config.key, run.reached.compiler, files, tests)

    def fill(folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(_measure(run)))

    label = run.series.name if run.series else ""
    try:
        path, _ = run.cache.make(_KIND, key, fill, deadline=run.deadline, label=label)
    except (KernelError, UserError) as error:
        run.observer.notice(f"every program is tried on every mutant: {error.what}")
        return Covered(tuple(programs))
    return _read((path / _FILE).read_text(), programs)


def _measure(run: Run) -> list[tuple[str, int, list[str]]]:
    """Run the tests on a kernel that counts, and return who ran each line, by file and line.

    Programs whose counters were lost may have run anything.
    """
    counting = Run(
        replace(run.request, coverage=True, repeat=1),
        run.paths,
        stage_work.folder(run.folder / _LABEL),
        PrefixedObserver(run.observer, _LABEL),
        reached=Reached(base=run.base, series=run.series, tree=run.tree),
    )
    counting.test()
    run.stages.include(_LABEL, counting.stages.records)
    counters = counting.counters
    if counters is None:
        return []
    measured = pipeline.measure_coverage(counting, counters).coverage
    names = [
        f"{each.suite}/{each.name}" for suite in counting.built_suites for each in suite.programs
    ]
    lost = [name for name in names if name not in measured.programs]
    return [
        (hunk.file, line.number, [measured.programs[at] for at in line.ran] + lost)
        for hunk in measured.hunks
        for line in hunk.lines
        if line.number
    ]


def _read(text: str, programs: Sequence[str]) -> Covered:
    lines: dict[tuple[str, int], frozenset[str]] = {}
    everywhere = set()
    for file, number, ran in json.loads(text):
        if BOOT in ran:
            everywhere.add((file, number))
        lines[file, number] = frozenset(ran) & frozenset(programs)
    return Covered(tuple(programs), lines, frozenset(everywhere))
