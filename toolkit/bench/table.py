"""A benchmark as lines of text: its table, the references beside it, a comparison. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from toolkit.bench.manifest import Bar, BenchManifest, Reference
from toolkit.bench.samples import INSN, Benchmark, Cost, Move, costs, differences
from toolkit.core.text import counted


def table(bench: Benchmark, about: BenchManifest) -> list[str]:
    """Return the table of a benchmark: cost, spread, relation to the scale's row, and time."""
    skipped = [f"not measured: {name}: {why}" for name, why in bench.skipped.items()]
    parts = (_head(bench, about), _rows(bench, about), _references(bench, about), skipped)
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part).split("\n")


def _head(bench: Benchmark, about: BenchManifest) -> Iterator[str]:
    what = f"{bench.series or 'no patches'} on " if bench.where == "guest" else ""
    place = f"in a guest ({bench.accelerator})" if bench.where == "guest" else "on the host itself"
    runs = max((len(row.runs) for row in bench.rows), default=0)
    yield f"{what}Linux {bench.release}, {place}, {counted(runs, 'run')}"
    if bench.clock == INSN:
        yield (
            f"instructions a {about.operation}, median of the runs; µs at {bench.rate:g} ns an "
            "instruction, which is no real processor's time"
        )
    else:
        yield f"ns a {about.operation}, median and its 95 % interval"


def _rows(bench: Benchmark, about: BenchManifest) -> Iterator[str]:
    by_row = costs(bench)
    width = max((len(name) for name in by_row), default=4)
    insn = bench.clock == INSN
    scale = f"x {about.scale.row}" if about.scale else ""
    # Two spaces before it, and none where nothing sets the rows in relation.
    column = max(12, 2 + len(scale)) if scale else 0
    last = "µs" if insn else "95 %"
    yield f"{'row':<{width}}  {bench.unit:>12}  {'spread':>7}{scale:>{column}}  {last:>8}"
    for name, cost in by_row.items():
        part = ratio(by_row, name, about)
        relation = ("-" if part is None else f"{part:.3f}") if scale else ""
        end = (
            f"{cost.value * bench.rate / 1000:8.3f}" if insn else f"{cost.low:.0f}-{cost.high:.0f}"
        )
        yield (
            f"{name:<{width}}  {cost.value:12.1f}  {cost.spread:7.3%}{relation:>{column}}  {end:>8}"
        )


def ratio(by_row: dict[str, Cost], name: str, about: BenchManifest) -> float | None:
    """Return a row's relation to the row that is the scale; None where either is missing."""
    scale = by_row.get(about.scale.row) if about.scale else None
    cost = by_row.get(name)
    return cost.value / scale.value if cost and scale and scale.value else None


def reference_ratios(
    bench: Benchmark, about: BenchManifest
) -> list[tuple[Reference, float, float | None]]:
    """Return the references, each with its relation to their scale, and what ours is."""
    by_row, figures = costs(bench), about.references.figures if about.references else ()
    return [
        (figure, figure.value / figures[0].value, ratio(by_row, figure.row, about))
        for figure in figures
    ]


def _references(bench: Benchmark, about: BenchManifest) -> Iterator[str]:
    ratios = reference_ratios(bench, about)
    if not about.references or not about.scale or all(now is None for _, _, now in ratios):
        return
    name, scale = about.references.name, ratios[0][0].name
    width = 1 + max(len(figure.name) for figure, _, _ in ratios)
    column = max(5, len(name))
    yield f"in relation to {about.scale.title} ({name}: {scale}); * never measured in {name}"
    yield f"{'path':<{width}} {name:>{column}}  {'now':>6}"
    for figure, then, now in ratios:
        mark = "*" if figure.extrapolated else " "
        ours = "-" if now is None else f"{now:.2f}"
        yield f"{figure.name:<{width}} {then:{column}.2f}{mark} {ours:>6}"


# --- bars --------------------------------------------------------------------------------


def bars(bench: Benchmark, about: BenchManifest) -> tuple[list[str], bool]:
    """Return the suite's bars with what was measured, and whether each that was is met."""
    by_row, all_met = costs(bench), True
    width = max((len(bar.title) for bar in about.bars), default=3)
    lines = [f"{'bar':<{width}}  {'at most':>7}  measured"]
    for bar in about.bars:
        values = sorted(_values(bar, by_row))
        measured = "nothing"
        if values:
            met = values[-1] <= bar.at_most
            all_met = all_met and met
            low, high = f"{values[0]:.3f}", f"{values[-1]:.3f}"
            verdict = "met" if met else "MISSED"
            measured = f"{low if low == high else f'{low} to {high}'}  {verdict}"
        lines.append(f"{bar.title:<{width}}  {bar.at_most:7g}  {measured}")
    return lines, all_met


def _values(bar: Bar, by_row: dict[str, Cost]) -> Iterator[float]:
    pattern = re.compile(re.escape(bar.over).replace(r"\*", "(.*)", 1))
    for name, cost in by_row.items():
        if not (match := pattern.fullmatch(name)) or fnmatchcase(name, bar.other_than):
            continue
        if not bar.under:
            yield cost.spread
            continue
        under = by_row.get(bar.under.replace("*", "".join(match.groups())))
        if under and under.value:
            yield cost.value / under.value


# --- two benchmarks ----------------------------------------------------------------------


def comparison(
    before: Benchmark, after: Benchmark, moves: Sequence[Move], tolerance: float
) -> list[str]:
    """Return what moved between two benchmarks, and what speaks against comparing them."""
    lines = [f"made differently: {line}" for line in differences(before, after)]
    width = max((len(move.name) for move in moves), default=4)
    moved = 0
    for move in moves:
        if move.before and move.after and not move.beyond_spread:
            continue
        moved += 1
        mark = "WORSE " if move.regressed(tolerance) else "      "
        change = f"{move.change:+8.2%}" if move.before and move.after else " " * 8
        values = f"{_value(move.before):>10}  {_value(move.after):>10}"
        lines.append(f"{mark}{move.name:<{width}}  {values}  {change}".rstrip())
    lines.append(f"{moved} of {len(moves)} rows moved by more than their spread")
    return lines


def _value(cost: Cost | None) -> str:
    return f"{cost.value:.1f}" if cost else "absent"
