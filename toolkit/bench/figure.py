"""A benchmark as a picture, for the screen and for paper without colours. Needs matplotlib."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.bench.manifest import BenchManifest, Group
from toolkit.bench.samples import INSN, Benchmark, costs
from toolkit.bench.table import reference_ratios
from toolkit.core.errors import InfrastructureError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OTHER = Group(rows="*", grey=0.9)


def draw(bench: Benchmark, about: BenchManifest, folder: Path) -> list[Path]:
    """Write the picture of a benchmark into a folder, as SUITE.svg and .png; return the files.

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
        "svg.hashsalt": bench.suite,
        "svg.fonttype": "none",
        "font.size": 9,
        "hatch.linewidth": 0.6,
    }
    with matplotlib.rc_context(settings):
        if any(now is not None for _, _, now in reference_ratios(bench, about)):
            canvas = Figure(figsize=(11, 5.4), layout="constrained")
            beside, rows = canvas.subplots(1, 2, width_ratios=(2, 3))
            _references(beside, bench, about)
        else:
            canvas = Figure(figsize=(7, 5.4), layout="constrained")
            rows = canvas.subplots()
        _rows(rows, bench, about)
        how = "counted instructions" if bench.clock == INSN else "measured time"
        series = bench.series or "no patches"
        canvas.suptitle(f"{about.title}: {series}, Linux {bench.release}, {how}")
        files = [folder / f"{bench.suite}{end}" for end in (".svg", ".png")]
        canvas.savefig(files[0], metadata={"Date": None})
        canvas.savefig(files[1], dpi=130, metadata={"Software": None})
    return files


def _references(axes: Axes, bench: Benchmark, about: BenchManifest) -> None:
    """Pairs of bars: a reference and ours, each in relation to its own scale."""
    ratios = reference_ratios(bench, about)
    for place, (reference, then, now) in enumerate(ratios):
        style = "--" if reference.extrapolated else "-"
        bar: dict[str, Any] = {"height": 0.36, "edgecolor": "0.0", "linewidth": 1.0}
        axes.barh(place - 0.2, then, color="1.0", linestyle=style, **bar)
        mark = " extrapolated" if reference.extrapolated else ""
        axes.text(then + 0.01, place - 0.2, f"{then:.2f}{mark}", va="center", fontsize=8)
        if now is not None:
            axes.barh(place + 0.2, now, color="0.6", hatch="///", **bar)
            axes.text(now + 0.01, place + 0.2, f"{now:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(ratios)), [reference.name for reference, _, _ in ratios])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(max(then, now or 0.0) for _, then, now in ratios))
    if about.references and about.scale:
        name, scale = about.references.name, ratios[0][0].name
        axes.set_xlabel(f"{about.scale.title} is 1\n({name}: {scale}, now: {about.scale.row})")
        axes.set_title(f"{name} (white; dashed: never measured)\nand now (hatched)", fontsize=9)


def _rows(axes: Axes, bench: Benchmark, about: BenchManifest) -> None:
    """One bar for each row that is shown, in the benchmark's unit."""
    by_row = costs(bench)
    labels = about.figure or {name: name for name in by_row}
    shown = [(name, label) for name, label in labels.items() if name in by_row]
    longest = max((by_row[name].value for name, _ in shown), default=1.0)
    for place, (name, _) in enumerate(shown):
        value = by_row[name].value
        group = next((each for each in about.groups if fnmatchcase(name, each.rows)), _OTHER)
        style: dict[str, Any] = {"color": str(group.grey), "hatch": group.hatch}
        axes.barh(place, value, **style, edgecolor="0.0", height=0.7)
        axes.text(value + longest / 100, place, f"{value:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [label for _, label in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel(f"{bench.unit} a {about.operation}")
    axes.set_title(about.figure_title, fontsize=9)
