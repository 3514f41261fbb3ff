"""A benchmark as lines of text: its table, the figures of 2009 beside it, a comparison. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.bench.samples import BASE, INSN, Benchmark, Cost, Move, costs, differences


@dataclass(frozen=True, slots=True)
class Past:
    """One figure of 2009: µs a ring, whether it was extrapolated, and our row for that path."""

    name: str
    micros: float
    extrapolated: bool
    row: str


# "[KVM PATCH v4 3/3] kvm: add iosignalfd support", May 2009. Its own path through the VMM, to
# which its figures are set in relation, is qemu-mmio.
PAST = (
    Past("qemu-mmio", 9.09, False, "qemu-mmio/none"),
    Past("qemu-pio", 6.53, True, "qemu-pio/none"),
    Past("iosignalfd-mmio", 5.00, False, "iosignalfd-mmio/any/1"),
    Past("iosignalfd-pio", 2.72, False, "iosignalfd-pio/any/1"),
    Past("iosignalfd-hc", 2.37, True, "iosignalfd-hc/any/1"),
)
PAST_BASE = 9.09


def table(bench: Benchmark) -> list[str]:
    """Return the table of a benchmark: cost, spread, relation to ``vmm-mmio``, and time."""
    return [*_head(bench), "", *_rows(bench), *_past(bench), *_skipped(bench)]


def _head(bench: Benchmark) -> Iterator[str]:
    what = f"{bench.series or 'no patches'} on " if bench.where == "guest" else ""
    place = f"in a guest ({bench.accelerator})" if bench.where == "guest" else "on the host itself"
    runs = max((len(row.runs) for row in bench.rows), default=0)
    yield f"{what}Linux {bench.release}, {place}, {runs} runs"
    if bench.clock == INSN:
        yield (
            f"instructions a ring, median of the runs; µs at {bench.rate:g} ns an instruction, "
            "which is no real processor's time"
        )
    else:
        yield "ns a ring, median and its 95 % interval"


def _rows(bench: Benchmark) -> Iterator[str]:
    found = costs(bench)
    base = found.get(BASE)
    width = max((len(name) for name in found), default=4)
    insn = bench.clock == INSN
    last = "µs" if insn else "95 %"
    yield f"{'row':<{width}}  {bench.unit:>12}  {'spread':>7}  {'x ' + BASE:>10}  {last:>8}"
    for name, cost in found.items():
        ratio = f"{cost.value / base.value:.3f}" if base and base.value else "-"
        end = (
            f"{cost.value * bench.rate / 1000:8.3f}" if insn else f"{cost.low:.0f}-{cost.high:.0f}"
        )
        yield f"{name:<{width}}  {cost.value:12.1f}  {cost.spread:7.3%}  {ratio:>10}  {end:>8}"


def past_ratios(bench: Benchmark) -> list[tuple[Past, float, float | None]]:
    """Return for each figure of 2009 its relation to 2009's VMM, and what ours is today."""
    found = costs(bench)
    base = found.get(BASE)

    def ours(past: Past) -> float | None:
        cost = found.get(past.row)
        return cost.value / base.value if cost and base and base.value else None

    return [(past, past.micros / PAST_BASE, ours(past)) for past in PAST]


def _past(bench: Benchmark) -> Iterator[str]:
    pairs = past_ratios(bench)
    if all(now is None for _, _, now in pairs):
        return
    yield ""
    yield "in relation to an MMIO exit to the VMM (2009: qemu-mmio); * never measured in 2009"
    yield f"{'path':<16} {'2009':>5}  {'now':>6}"
    for past, then, now in pairs:
        mark = "*" if past.extrapolated else " "
        yield f"{past.name:<16} {then:5.2f}{mark} {'-' if now is None else f'{now:.2f}':>6}"


def _skipped(bench: Benchmark) -> Iterator[str]:
    if bench.skipped:
        yield ""
    for name, why in bench.skipped.items():
        yield f"not measured: {name}: {why}"


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
