"""The page itself: what the histories hold, as data in it, with the style and script to show them.

The page must work where it lies, opened from a disk: so all of its data are in it, as JSON that is
no script, and its own policy names the digests of its one style and its one script.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core.model.testing import Status
from toolkit.core.text import visible
from toolkit.report import templates
from toolkit.report.site.archive import Archive, Outcome, Run
from toolkit.testing import leaf_ids

if TYPE_CHECKING:
    from jinja2 import Template

GENERATOR = "kernel-toolkit site"  # stands in the page, so that no other is overwritten
_FOLDER = Path(__file__).parent
_STYLES = (templates.FOLDER / "palette.css", _FOLDER / "site.css")
_SCRIPTS = tuple(
    _FOLDER / f"{name}.js"
    for name in (
        *("data", "elements", "charts"),
        *("overview", "cases", "case", "runs", "timings"),
        "app",
    )
)
_MAX_NAME = 200  # characters
_MAX_COMMAND = 1000
# One letter for each status; the script has the same list.
LETTERS = {
    Status.PASS: "P",
    Status.FAIL: "F",
    Status.CRASH: "C",
    Status.TIMEOUT: "T",
    Status.ERROR: "E",
    Status.XPASS: "X",
    Status.SKIP: "S",
    Status.XFAIL: "K",
}
_ABSENT = "-"


def render(
    archive: Archive, *, title: str, now: datetime, reports: Mapping[int, str] | None = None
) -> bytes:
    """Return the page. ``reports`` are links to the reports of runs, by the run's number."""
    page = _template().render(
        title=title,
        now=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=len(archive.runs),
        results=archive.results,
        cases=len(archive.leaves),
        lines=_lines(archive.runs),
        data=_embedded(data(archive, reports or {})),
    )
    return page.encode()


def _embedded(value: object) -> object:
    """Return JSON that no parser of HTML takes for anything else."""
    from markupsafe import Markup  # noqa: PLC0415 - as slow to import as jinja2

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - ASCII without a character that HTML knows


@functools.cache
def _template() -> Template:
    from markupsafe import Markup  # noqa: PLC0415

    def finalized(value: object) -> object:
        return value if isinstance(value, Markup) else visible(str(value))

    helpers: dict[str, Any] = {"GENERATOR": GENERATOR}
    for kind, files in (("style", _STYLES), ("script", _SCRIPTS)):
        helpers |= templates.embedded(kind, files)
    return templates.load("site.html.j2", finalized, helpers, _FOLDER)


def _lines(runs: Iterable[Run]) -> list[Run]:
    """Return the last run of each series on each kernel, the newest first, for want of scripts."""
    last = {(run.series, run.kernel): run for run in runs}
    return sorted(last.values(), key=lambda run: -run.started)[:100]


# --- the data ----------------------------------------------------------------------------------


def data(archive: Archive, reports: Mapping[int, str]) -> dict[str, Any]:
    """Return what the script reads; see data.js, which takes it apart again."""
    words = _Words()
    runs = [_run(run, reports.get(number, ""), words) for number, run in enumerate(archive.runs)]
    return {
        "runs": runs,
        "programs": _programs(archive.leaves),
        "results": archive.results,
        "leftOut": [archive.left_out_runs, archive.left_out_results],
        "words": words.all,
    }


class _Words:
    """A table of texts that many runs share, so that each stands in the page once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str, limit: int = _MAX_NAME) -> int:
        shown = clipped(text, limit)
        if shown not in self._places:
            self._places[shown] = len(self.all)
            self.all.append(shown)
        return self._places[shown]


def _run(run: Run, report: str, words: _Words) -> list[Any]:
    texts = (run.series, run.kernel, run.release, run.accelerator, run.build, run.folder.name)
    return [
        run.started,
        _milliseconds(run.seconds),
        run.verdict.value,
        run.exit_code,
        *map(words.place, texts),
        words.place(run.command, _MAX_COMMAND),
        run.bad,
        run.leaves,
        [
            [words.place(name), _milliseconds(seconds), int(cached)]
            for name, seconds, cached in run.stages
        ],
        report,
    ]


def _programs(leaves: Mapping[str, list[Outcome]]) -> list[list[Any]]:
    """Return leaves by program: suite, name, the runs it was in, and its cases over these."""
    grouped: dict[tuple[str, str], list[tuple[str, list[Outcome]]]] = {}
    for name, outcomes in leaves.items():
        suite, program, case = leaf_ids.split(name)
        grouped.setdefault((suite, program), []).append((case, outcomes))
    programs = []
    for (suite, program), cases in sorted(grouped.items()):
        runs = sorted({outcome.run for _, outcomes in cases for outcome in outcomes})
        places = {run: place for place, run in enumerate(runs)}
        programs.append(
            [
                clipped(suite),
                clipped(program),
                [run - before for before, run in zip([0, *runs], runs, strict=False)],
                [_case(name, outcomes, places) for name, outcomes in cases],
            ]
        )
    return programs


def _case(name: str, outcomes: list[Outcome], places: Mapping[int, int]) -> list[Any]:
    """Return a case: its name, its record, and its times unless it has none."""
    written: list[Any] = [clipped(name), _record(outcomes, places)]
    if any(outcome.seconds is not None for outcome in outcomes):
        written.append(
            [
                -1 if outcome.seconds is None else _milliseconds(outcome.seconds)
                for outcome in outcomes
            ]
        )
    return written


def _record(outcomes: Iterable[Outcome], places: Mapping[int, int]) -> str:
    """Return a letter for each run of the program, equal ones counted: ``P12FP3``."""

    def letters() -> Iterator[tuple[str, int]]:
        at = 0
        for outcome in outcomes:
            place = places[outcome.run]
            if place > at:
                yield _ABSENT, place - at
            yield LETTERS[outcome.status], 1
            at = place + 1

    merged = (
        (letter, sum(number for _, number in group))
        for letter, group in itertools.groupby(letters(), key=operator.itemgetter(0))
    )
    return "".join(letter if number == 1 else f"{letter}{number}" for letter, number in merged)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def clipped(text: str, limit: int = _MAX_NAME) -> str:
    """Return text as it is shown; what is too long ends in a digest, and so stays apart."""
    shown = visible(text[: limit * 2])
    if len(shown) <= limit and len(text) <= limit * 2:
        return shown
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{shown[: limit - 10]}…~{digest}"
