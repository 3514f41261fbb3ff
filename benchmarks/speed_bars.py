"""What :mod:`benchmarks.speed` has measured, as ratios against their bars: table and picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the table: ``over`` is divided by ``under`` (added up), or stands for itself."""

    what: str
    over: str
    under: tuple[str, ...]
    limit: float
    unit: str  # "" for a ratio

    def values(self, samples: Samples) -> list[float]:
        """Return the value of each round; none where something was not measured."""
        if not all(samples.get(name) for name in (self.over, *self.under)):
            return []
        if not self.under:
            return samples[self.over]
        bottoms = [
            sum(parts) for parts in zip(*(samples[name] for name in self.under), strict=True)
        ]
        return [top / bottom for top, bottom in zip(samples[self.over], bottoms, strict=True)]


BARS = (
    Bar("nothing changed: start to first test / vng to `uname -r`", "warm", ("vng",), 0.2, ""),
    Bar("the same: time beyond the tests' own, shared among the cores", "beyond", (), 3, "s"),
    Bar("one line changed: start to first test / (make, vng)", "edit", ("make", "vng"), 0.3, ""),
    Bar("the same, alone", "edit", (), 6, "s"),
    Bar("restore to first command / boot to first command", "restore", ("boot",), 0.12, ""),
    Bar("boot to first command / bare QEMU to SSH banner", "boot", ("bare",), 1.15, ""),
    Bar("cold kernel build / bare make", "cold", ("cold-make",), 1.03, ""),
    Bar("toolkit --help", "help", (), 0.25, "s"),
    Bar("toolkit series list", "list", (), 0.4, "s"),
    Bar("memory of the toolkit in a run", "memory", (), 150, "MiB"),
    Bar("200 programs / 20 programs, time", "many-200", ("many-20",), 10, ""),
    Bar("200 programs / 20 programs, memory", "memory-200", ("memory-20",), 1.1, ""),
)  # fmt: skip


def table(samples: Samples) -> list[str]:
    """Return the bars as a table in Markdown."""
    lines = ["| what | median | spread | at most | |", "|---|---|---|---|---|"]
    for bar in BARS:
        values = bar.values(samples)
        if not values:
            continue
        median = statistics.median(values)
        verdict = "met" if median <= bar.limit else "**missed**"
        unit = f" {bar.unit}" if bar.unit else ""
        columns = f"{median:.3g}{unit} | {_spread(values)} | {bar.limit:g}{unit}"
        lines.append(f"| {bar.what} | {columns} | {verdict} |")
    lines += ["", "| measured | median | spread |", "|---|---|---|"]
    for name, values in samples.items():
        unit = "MiB" if name.startswith("memory") else "s"
        lines.append(f"| {name} | {statistics.median(values):.3g} {unit} | {_spread(values)} |")
    return lines


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else "once"


def picture(samples: Samples, folder: Path) -> None:
    """Draw each bar's median as a part of its limit."""
    from matplotlib.figure import Figure

    shown = [(bar, bar.values(samples)) for bar in BARS]
    shown = [(bar, values) for bar, values in reversed(shown) if values]
    figure = Figure(figsize=(9, 0.45 * len(shown) + 1.2), layout="constrained")
    axes = figure.subplots()
    parts = [[value / bar.limit for value in values] for bar, values in shown]
    medians = [statistics.median(part) for part in parts]
    errors = [
        [median - min(part) for median, part in zip(medians, parts, strict=True)],
        [max(part) - median for median, part in zip(medians, parts, strict=True)],
    ]
    axes.barh(range(len(shown)), medians, xerr=errors, color="0.7", edgecolor="0.3", capsize=3)
    axes.axvline(1, color="0.1", linestyle="--", label="at most")
    axes.set_yticks(range(len(shown)), [bar.what for bar, _ in shown], fontsize=8)
    axes.set_xlabel("median, as a part of what is allowed; the whiskers are the whole spread")
    axes.legend(loc="lower right")
    figure.savefig(folder / "speed.svg")
