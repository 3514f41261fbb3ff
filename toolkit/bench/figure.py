"""A benchmark as a picture, for the screen and for paper without colours. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.bench.samples import Benchmark, costs
from toolkit.bench.table import past_ratios
from toolkit.core.errors import InfrastructureError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = ("doorbell.svg", "doorbell.png")
# The rows that the picture shows: one variant of each path; the table has all of them.
_SHOWN = (
    ("syscall", "syscall (getppid)"),
    ("ioctl-ring", "ioctl that rings"),
    ("run-immediate", "KVM_RUN, guest not entered"),
    ("null-pio", "null-pio"),
    ("iosignalfd-pio/any/1", "iosignalfd-pio"),
    ("ioeventfd-pio/any/1", "ioeventfd-pio"),
    ("null-hc", "null-hc"),
    ("iosignalfd-hc/any/1", "iosignalfd-hc"),
    ("hyperv-eventfd", "hyperv-eventfd"),
    ("null-mmio", "null-mmio"),
    ("iosignalfd-mmio/any/1", "iosignalfd-mmio"),
    ("ioeventfd-mmio/any/1", "ioeventfd-mmio"),
    ("vmm-pio", "vmm-pio"),
    ("vmm-mmio", "vmm-mmio"),
    ("qemu-pio/none", "qemu-pio"),
    ("qemu-mmio/none", "qemu-mmio"),
    ("thread-eventfd", "thread-eventfd, round trip"),
    ("socketpair-user", "socketpair-user, round trip"),
)
# Grey and hatching by what a path belongs to, told apart without any colour.
_STYLES = (
    ("iosignalfd", "0.35", ""),
    ("ioeventfd", "0.75", "///"),
    ("hyperv", "0.75", "///"),
    ("null", "1.0", "..."),
    ("vmm", "1.0", "xxx"),
    ("qemu", "1.0", "xxx"),
)
_OTHER = ("0.9", "")


def draw(bench: Benchmark, folder: Path) -> list[Path]:
    """Write the picture of a benchmark into a folder, as SVG and PNG, and return the files.

    Raises :class:`InfrastructureError` when matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: PLC0415 - it is slow, and an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise InfrastructureError(
            "the figure needs matplotlib, which is not installed",
            hint="pip install '.[bench]' in the checkout; table and bench.json are complete",
        ) from error
    # The same picture for the same figures: no date, no random ids, and text that stays text.
    settings: dict[str, Any] = {
        "svg.hashsalt": "doorbell",
        "svg.fonttype": "none",
        "font.size": 9,
        "hatch.linewidth": 0.6,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        then, now = figure.subplots(1, 2, width_ratios=(2, 3))
        _past(then, bench)
        _paths(now, bench)
        figure.suptitle(_title(bench))
        files = [folder / name for name in NAMES]
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=130, metadata={"Software": None})
    return files


def _title(bench: Benchmark) -> str:
    how = "counted instructions" if bench.clock == "insn" else "measured time"
    return f"What one ring costs: {bench.series or 'no patches'}, Linux {bench.release}, {how}"


def _past(axes: Axes, bench: Benchmark) -> None:
    """Pairs of bars: 2009 and now, each in relation to its own MMIO exit to the VMM."""
    pairs = past_ratios(bench)
    for place, (past, then, now) in enumerate(pairs):
        style = "--" if past.extrapolated else "-"
        bar: dict[str, Any] = {"height": 0.36, "edgecolor": "0.0", "linewidth": 1.0}
        axes.barh(place - 0.2, then, color="1.0", linestyle=style, **bar)
        mark = " extrapolated" if past.extrapolated else ""
        axes.text(then + 0.01, place - 0.2, f"{then:.2f}{mark}", va="center", fontsize=8)
        if now is not None:
            axes.barh(place + 0.2, now, color="0.6", hatch="///", **bar)
            axes.text(now + 0.01, place + 0.2, f"{now:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(pairs)), [past.name for past, _, _ in pairs])
    axes.invert_yaxis()
    longest = max(max(then, now or 0.0) for _, then, now in pairs)
    axes.set_xlim(0, 1.3 * longest)
    axes.set_xlabel("an MMIO exit to the VMM is 1\n(2009: qemu-mmio, now: vmm-mmio)")
    axes.set_title("2009 (white; dashed: never measured)\nand now (hatched)", fontsize=9)


def _paths(axes: Axes, bench: Benchmark) -> None:
    """One bar for each path, in the benchmark's unit."""
    found = costs(bench)
    shown = [(label, found[name]) for name, label in _SHOWN if name in found]
    longest = max((cost.value for _, cost in shown), default=1.0)
    for place, (label, cost) in enumerate(shown):
        colour, hatch = next(
            ((grey, hatch) for start, grey, hatch in _STYLES if label.startswith(start)), _OTHER
        )
        axes.barh(place, cost.value, color=colour, hatch=hatch, edgecolor="0.0", height=0.7)
        axes.text(cost.value + longest / 100, place, f"{cost.value:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [label for label, _ in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel(f"{bench.unit} a ring")
    axes.set_title("every path, one registration", fontsize=9)
