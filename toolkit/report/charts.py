"""Plots of a time over runs: as lines for a terminal, and as an SVG file that stands alone."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.core.text import visible
from toolkit.report.wording import duration

_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Run:
    """One run in a plot: what stands at its foot, its result, and its time."""

    label: str
    result: str  # pass, fail, done, found …
    seconds: float | None
    bad: bool = False


def bars(runs: Iterable[Run], width: int = 40) -> Iterator[str]:
    """Yield a line for each run: label, result, time, and a bar as long as the time."""
    rows = list(runs)
    labels = max((len(visible(run.label)) for run in rows), default=0)
    results = max((len(run.result) for run in rows), default=0)
    longest = max((run.seconds or 0.0 for run in rows), default=0.0) or 1.0
    for run in rows:
        took = duration(run.seconds) if run.seconds is not None else "-"
        bar = _bar((run.seconds or 0.0) / longest, width)
        yield f"{visible(run.label):<{labels}}  {run.result:<{results}}  {took:>11}  {bar}".rstrip()


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


_WIDTH, _HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 48, 48
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #5f5b54; }
.title { font-size: 15px; font-weight: 600; fill: #1d1c1a; }
.page { fill: #fbfaf8; } .grid { stroke: #dcd8d0; } .line { fill: none; stroke: #1a4f8b; }
.good { fill: #1a4f8b; } .bad { fill: #b3261e; }
@media (prefers-color-scheme: dark) {
text { fill: #a9a398; } .title { fill: #eae7e1; } .page { fill: #171614; }
.grid { stroke: #3a3732; } .line { stroke: #8fbdf0; } .good { fill: #8fbdf0; }
.bad { fill: #ff9a90; }
}
"""


def svg(title: str, runs: Sequence[Run]) -> bytes:
    """Return a plot of the runs that have a time; failures are diamonds."""
    timed = [run for run in runs if run.seconds is not None]
    top = _round_up(max((run.seconds or 0.0 for run in timed), default=0.0))
    places = [
        (_x(index, len(timed)), _y(run.seconds or 0.0, top)) for index, run in enumerate(timed)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{_escaped(title)}"><style>{_STYLE}</style>',
        f'<rect class="page" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="title" x="{_LEFT}" y="26">{_escaped(title)}</text>',
        *_grid(top),
        f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>',
        *(_dot(run, x, y) for run, (x, y) in zip(timed, places, strict=True)),
        *_ends(timed),
        "</svg>\n",
    ]
    return "\n".join(parts).encode()


def _x(index: int, count: int) -> float:
    across = _WIDTH - _LEFT - _RIGHT
    return _LEFT + across * (index + 0.5) / max(count, 1)


def _y(seconds: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * seconds / top


def _round_up(seconds: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten, for an axis that can be read."""
    unit = 1e-3
    while True:
        for factor in (1, 2, 5):
            if seconds <= factor * unit:
                return factor * unit
        unit *= 10


def _grid(top: float) -> Iterator[str]:
    for part in range(5):
        seconds = top * part / 4
        y = _y(seconds, top)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{seconds:g} s</text>'


def _dot(run: Run, x: float, y: float) -> str:
    title = _escaped(f"{run.label}: {run.result}, {duration(run.seconds or 0.0)}")
    if run.bad:
        shape = f'<path class="bad" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z">'
        return f"{shape}<title>{title}</title></path>"
    return f'<circle class="good" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>'


def _ends(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the labels of the first and the last run."""
    y = _HEIGHT - 18
    if runs:
        yield f'<text x="{_LEFT}" y="{y}">{_escaped(runs[0].label)}</text>'
    if len(runs) > 1:
        x = _WIDTH - _RIGHT
        yield f'<text x="{x}" y="{y}" text-anchor="end">{_escaped(runs[-1].label)}</text>'


def _escaped(text: str) -> str:
    return html.escape(visible(text)[:120])
