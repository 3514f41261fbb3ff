"""``report.html``: one file that needs nothing else, for a person with a browser.

What a guest, a patch or a test printed is hostile. Three things keep it harmless: every word from
outside passes :func:`~toolkit.core.text.visible`, Jinja2 escapes it, and the page's own policy lets
nothing run but the script that came with the toolkit, by its digest.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from toolkit.core.model.testing import Leaf, Status
from toolkit.report import templates
from toolkit.report.mutation_view import MutationView
from toolkit.report.view import Program, ReportView
from toolkit.report.wording import duration, percent
from toolkit.testing import leaf_ids

if TYPE_CHECKING:
    from jinja2 import Template

MAX_FAILURES = 200  # shown in full
MAX_BARS = 12
_LIMITS = {
    "MAX_FAILURES": MAX_FAILURES,
    "MAX_ROWS": 20_000,  # of cases
    "MAX_COMPARED": 500,  # rows about another kernel
    "MAX_SPLATS": 50,
    "MAX_SPLAT": 20_000,  # characters of one
    "MAX_MESSAGE": 160,  # characters in a row
    "MAX_BARS": MAX_BARS,
    "MAX_NAMES": 12,
}
_LOGS = "tests/"  # the folder of what the programs wrote
_TONES = {Status.PASS: "good", Status.SKIP: "still", Status.XFAIL: "warn"}
_SYMBOLS = {Status.PASS: "✓", Status.SKIP: "-", Status.XFAIL: "✓", None: "·"}
_DIFF_KINDS = {"+": "add", "-": "del", "@": "head"}


def render(
    view: ReportView, files: Sequence[str] = (), mutation: MutationView | None = None
) -> bytes:
    """Return the page; ``files`` are what lies beside it, as paths relative to it.

    ``mutation`` is what the tests noticed of the series' mutants, where they were tried.
    """
    result = view.result
    page = _template().render(
        view=view,
        result=result,
        mutation=mutation,
        anchors={leaf.id: number for number, leaf in enumerate(view.failures[:MAX_FAILURES], 1)},
        strip=_strip(result.leaves),
        programs=view.programs_bad_first,
        slowest=_slowest(view),
        files=[name for name in files if not name.startswith(_LOGS)],
        logs=lambda program: _logs(program, files),
    )
    return page.encode()


@functools.cache
def _template() -> Template:
    functions = (tone, symbol, diff_kind, note, cases_bad_first, duration, percent)
    helpers: dict[str, Any] = {function.__name__: function for function in functions}
    helpers["case_name"] = leaf_ids.case_name
    helpers["split_id"] = leaf_ids.split
    for kind, names in (("style", ("palette.css", "report.css")), ("script", ("report.js",))):
        helpers |= templates.embedded(kind, (templates.FOLDER / name for name in names))
    return templates.load("report.html.j2", templates.in_page, {**helpers, **_LIMITS})


def tone(status: Status | None) -> str:
    """Return the class of a status in the page's style."""
    return "none" if status is None else _TONES.get(status, "bad")


def symbol(status: Status | None) -> str:
    """Return the sign of a status in a narrow cell."""
    return _SYMBOLS.get(status, "✗")


def diff_kind(line: str) -> str:
    """Return the class of a diff's line in the page's style."""
    return _DIFF_KINDS.get(line[:1], "same")


def note(leaf: Leaf) -> str:
    """Return what a row says of a leaf besides its status."""
    return "" if leaf.status is Status.PASS else leaf.known or leaf.message.partition("\n")[0]


def cases_bad_first(program: Program) -> list[Leaf]:
    """Return a program's leaves, those that fail the run first."""
    return sorted(program.leaves, key=lambda leaf: not leaf.status.bad)


def _logs(program: Program, files: Iterable[str]) -> list[dict[str, str]]:
    """Return where what a program wrote lies, as links relative to the page."""
    start = f"{_LOGS}{program.id}."
    return [
        {"href": quote(name), "name": name.removeprefix(f"{_LOGS}{program.suite}/")}
        for name in files
        if name.startswith(start)
    ]


def _slowest(view: ReportView) -> list[Program]:
    """Return the programs that took longest, the slowest first; none where there is one alone."""
    timed = [program for program in view.programs_bad_first if program.seconds]
    slowest = sorted(timed, key=lambda program: -program.seconds)[:MAX_BARS]
    return slowest if len(slowest) > 1 else []


def _strip(leaves: Iterable[Leaf]) -> list[dict[str, Any]]:
    """Return the parts of the bar over all leaves; what failed is never too thin to be seen."""
    tones = Counter(tone(leaf.status) for leaf in leaves)
    total, parts, x = sum(tones.values()), [], 0.0
    for name in ("bad", "warn", "still", "good"):
        if number := tones[name]:
            width = min(1000 - x, max(6.0, 1000 * number / total))
            parts.append({"tone": name, "x": round(x, 1), "width": round(width, 1)})
            x += width
    return parts
