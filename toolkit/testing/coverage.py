"""Which lines that a series adds the tests have run, and which patch wrote each.

Gives gcov the counters that :mod:`toolkit.testing.gcda` left in the run folder, and follows each
line with code back to its patch (:mod:`toolkit.series.annotate`). A header's lines count through
the objects that include it, as far as those are profiled.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, ToolFailedError
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.core.model.series import Explained, PatchedTree, PatchSeries
from toolkit.formats import gcov_json, patchfile
from toolkit.formats.gcov_json import FileCounts
from toolkit.host import process, sandbox
from toolkit.kernel.gcov_build import Profiled
from toolkit.series.annotate import Annotations

MAX_LINES = 50_000  # of hunks in a result
_GCDA, _GCNO = ".gcda", ".gcno"
_GCOV_SECONDS = 120.0
_GCOV_LIMITS = (f"--as={1 << 30}", "--core=0")  # bytes
_NEWER = "source file is newer than notes file"


@dataclass(frozen=True, slots=True)
class Measured:
    """The result, and the explanations in series.yaml that no line needs any more."""

    coverage: Coverage
    stale: tuple[Explained, ...]


@dataclass(slots=True)
class _Lines:
    """The series' files: their lines with code, and who ran them."""

    code: dict[str, FileCounts]
    ran: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    used: set[Explained] = field(default_factory=set)

    def explanation(self, file: str, number: int, text: str, series: PatchSeries) -> str:
        """Return why nothing runs a line, where series.yaml says so."""
        for entry in series.unrun:
            first, last = self.code[file].functions.get(entry.function, (0, 0))
            named = not entry.function or first <= number <= last
            if entry.file == file and named and entry.line in ("", text.strip()):
                self.used.add(entry)
                return entry.reason
        return ""


def measure(
    tree: PatchedTree,
    profiled: Profiled,
    counters: Path,
    *,
    programs: Sequence[str],
    lost: Mapping[str, str],
    deadline: Deadline,
) -> Measured:
    """Return what ``programs`` ran of the series; ``counters`` has a folder for each.

    ``lost`` says of which there is nothing, and why. Raises :class:`InfrastructureError` when
    gcov is missing or cannot read what the compiler wrote.
    """
    lines = _Lines(_of_series(_gcov(profiled, None, deadline), tree))
    lost = dict(lost)
    kept: list[str] = []
    for program in programs:
        if program in lost or not (counters / program).is_dir():
            continue
        try:
            limit = deadline.sooner(_GCOV_SECONDS)
            counts = _of_series(_gcov(profiled, counters / program, limit), tree)
        except (ToolFailedError, DeadlineError, ValueError) as error:
            deadline.check("gcov")
            lost[program] = f"gcov cannot read its counters: {error}"
            continue
        for file, file_counts in counts.items():
            for number, count in file_counts.lines.items():
                if count:
                    lines.ran.setdefault((file, number), []).append(len(kept))
        kept.append(program)
    hunks = list(_hunks(tree, lines))
    subjects = [patch.subject for patch in tree.series.patches] if tree.series else []
    coverage = Coverage(
        programs=tuple(kept),
        patches=tuple(totals(subjects, hunks)),
        hunks=tuple(_bounded(hunks)),
        unbuilt=_unbuilt(tree, profiled, lines),
        lost=tuple(f"{name}: {why}" for name, why in sorted(lost.items())),
    )
    wanted = tree.series.unrun if tree.series else ()
    return Measured(coverage, tuple(entry for entry in wanted if entry not in lines.used))


def _of_series(counts: dict[str, FileCounts], tree: PatchedTree) -> dict[str, FileCounts]:
    return {name: of_file for name, of_file in counts.items() if name in tree.files}


def _gcov(profiled: Profiled, counters: Path | None, deadline: Deadline) -> dict[str, FileCounts]:
    """Return what gcov says: with no counters, all lines that have code, and that none ran."""
    if not profiled.objects:
        return {}
    with tempfile.TemporaryDirectory(prefix="toolkit-gcov-") as name:
        folder = Path(name)
        given = []
        for stem in profiled.objects:
            (folder / stem).parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{stem}{_GCNO}").symlink_to(profiled.folder / f"{stem}{_GCNO}")
            data = counters / f"{stem}{_GCDA}" if counters else None
            if data and data.is_file():
                (folder / f"{stem}{_GCDA}").symlink_to(data.absolute())
            if not counters or (data and data.is_file()):
                given.append(f"{stem}{_GCNO}")
        if not given:
            return {}
        gcov = process.find(profiled.gcov, profiled.gcov.replace("gcov", "gcc"))
        argv = [gcov, "--json-format", "--stdout", *given]
        # It reads what came from a guest.
        limits = [process.find("prlimit", "util-linux"), *_GCOV_LIMITS, "--"]
        readable = [folder, profiled.folder, Path(profiled.source)]
        readable += [counters.absolute()] if counters else []
        within = sandbox.confine(readonly=[path for path in readable if path.exists()])
        done = process.run(
            argv,
            cwd=folder,
            deadline=deadline,
            inherit=process.CLEAN,
            within=(*within, *limits),
        )
        complaints = _complaints(done.stderr.decode(errors="replace"))
        if counters and complaints:  # counters of another build, or none at all
            raise ValueError(complaints[0])
        return gcov_json.read(done.stdout, os.path.normpath(profiled.source))


def _complaints(stderr: str) -> list[str]:
    """Return what gcov complained of, without where.

    Nothing is wrong where a source was written again after the build, for another series.
    """
    lines = [line for line in stderr.splitlines() if line and not line.startswith("(")]
    return [line.rpartition(":")[2] for line in lines if _NEWER not in line]


def _hunks(tree: PatchedTree, lines: _Lines) -> Iterator[HunkRun]:
    """Yield the hunks that wrote lines with code, in the order of the patches."""
    if tree.series is None:
        return
    origins = Annotations(tree)
    placed: dict[tuple[int, str, int], dict[int, int]] = {}  # a hunk's lines: numbers in the tree
    for file, counts in lines.code.items():
        for number in sorted(counts.lines):
            if place := origins.of(file, number):
                rows = placed.setdefault((place.patch, file, place.hunk.line), {})
                rows.setdefault(place.at, number)
    for patch, mail in enumerate(tree.series.patches, 1):
        for section in patchfile.sections(mail):
            for file, hunk in itertools.product(section.paths, section.hunks):
                if wrote := placed.get((patch, file, hunk.line)):
                    yield HunkRun(
                        patch, file, tuple(_line_runs(hunk, file, wrote, lines, tree.series))
                    )


def _bounded(hunks: Iterable[HunkRun]) -> Iterator[HunkRun]:
    left = MAX_LINES
    for hunk in hunks:
        left -= len(hunk.lines)
        if left >= 0:
            yield hunk


def _line_runs(
    hunk: patchfile.Hunk, file: str, rows: Mapping[int, int], lines: _Lines, series: PatchSeries
) -> Iterable[LineRun]:
    for index, raw in enumerate(hunk.text):
        text = raw.decode(errors="replace")
        number = rows.get(index, 0)
        ran = tuple(lines.ran.get((file, number), ()))
        why = "" if ran or not number else lines.explanation(file, number, text[1:], series)
        yield LineRun(text, number, ran, why)


def totals(subjects: Sequence[str], hunks: Sequence[HunkRun]) -> Iterator[PatchRun]:
    """Yield the sums of each patch that wrote lines with code; ``subjects`` are of all patches."""
    for number, subject in enumerate(subjects, 1):
        code = [
            line for hunk in hunks if hunk.patch == number for line in hunk.lines if line.number
        ]
        if code:
            ran = sum(bool(line.ran) for line in code)
            explained = sum(bool(line.explained) for line in code)
            yield PatchRun(number, subject, len(code), ran, explained)


def _unbuilt(tree: PatchedTree, profiled: Profiled, lines: _Lines) -> tuple[str, ...]:
    """Return the C files of the series of which there is no counting object in the kernel."""
    return tuple(
        name
        for name, file in sorted(tree.files.items())
        if name.endswith(".c")
        and file.content is not None
        and name.removesuffix(".c") not in profiled.objects
        and name not in lines.code
    )
