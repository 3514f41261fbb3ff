from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bench_samples import DOORBELL, benchmark
from toolkit.bench import baseline_file, samples, table
from toolkit.bench.manifest import Bar, BenchManifest
from toolkit.bench.samples import Benchmark

PROJECT = Path(__file__).parents[3]

BENCH = benchmark(
    {
        "vmm-mmio": [[5000], [5000]],
        "iosignalfd-pio/any/1": [[1000], [1001]],
        "iosignalfd-hc/any/1": [[3000], [3000]],
    },
    skipped={"qemu-pio/none": "no QEMU in this guest"},
)


def test_the_whole_table() -> None:
    assert table.table(BENCH, DOORBELL) == [
        "iosignalfd/v5 on Linux 6.12.117, in a guest (tcg), 2 runs",
        "instructions a ring, median of the runs; µs at 2 ns an instruction, which is no real"
        " processor's time",
        "",
        "row                   instructions   spread  x vmm-mmio        µs",
        "vmm-mmio                    5000.0   0.000%       1.000    10.000",
        "iosignalfd-pio/any/1        1000.5   0.100%       0.200     2.001",
        "iosignalfd-hc/any/1         3000.0   0.000%       0.600     6.000",
        "",
        "in relation to an MMIO exit to the VMM (2009: qemu-mmio); * never measured in 2009",
        "path              2009     now",
        "qemu-mmio         1.00       -",
        "qemu-pio          0.72*      -",
        "iosignalfd-mmio   0.55       -",
        "iosignalfd-pio    0.30    0.20",
        "iosignalfd-hc     0.26*   0.60",
        "",
        "not measured: qemu-pio/none: no QEMU in this guest",
    ]


def test_the_section_on_bound_vcpus_has_the_table_of_its_baseline() -> None:
    bench = baseline_file.read(PROJECT / "benchmarks/kvm-task-api-v1.json")
    (rows,) = [part for part in _parts(bench) if part.startswith("row ")]
    assert f"```\n{rows}\n```" in (PROJECT / "docs/doorbell.md").read_text()


def _parts(bench: Benchmark) -> list[str]:
    return "\n".join(table.table(bench, DOORBELL)).split("\n\n")


def test_the_baseline_and_the_documentation_have_one_table() -> None:
    bench = baseline_file.read(PROJECT / "benchmarks/iosignalfd-v5.json")
    shown = "\n".join(table.table(bench, DOORBELL)) + "\n"
    assert shown == (PROJECT / "tests/data/bench/iosignalfd-v5.txt").read_text()
    (rows,) = [part for part in shown.split("\n\n") if part.startswith("row ")]
    assert f"```\n{rows}\n```" in (PROJECT / "docs/doorbell.md").read_text()


def test_a_suite_without_scale_and_references_has_costs_alone() -> None:
    bench = benchmark({"getppid": [[200]], "pipe-round-trip": [[4000]]})
    assert table.table(bench, BenchManifest(program="x", operation="call"))[1:] == [
        "instructions a call, median of the runs; µs at 2 ns an instruction, which is no real"
        " processor's time",
        "",
        "row              instructions   spread        µs",
        "getppid                 200.0   0.000%     0.400",
        "pipe-round-trip        4000.0   0.000%     8.000",
    ]


def held(over: str, under: str, at_most: float) -> tuple[list[str], bool]:
    bar = Bar.model_validate({"title": "x", "over": over, "under": under, "at-most": at_most})
    lines, met = table.bars(BENCH, BenchManifest(program="x", bars=(bar,)))
    return [line.split("  ", 1)[1].strip() for line in lines[1:]], met


def test_a_bar_is_held_against_the_worst_of_its_rows() -> None:
    rows = ("iosignalfd-*/any/1", "vmm-mmio")
    assert held(*rows, 0.6) == (["0.6  0.200 to 0.600  met"], True)
    assert held(*rows, 0.59) == (["0.59  0.200 to 0.600  MISSED"], False)


def test_a_star_stands_for_the_same_text_on_both_sides() -> None:
    assert held("iosignalfd-*/1", "iosignalfd-*/1", 1) == (["1  1.000  met"], True)
    assert held("iosignalfd-*", "ioeventfd-*", 1) == (["1  nothing"], True)


def test_a_bar_without_a_second_row_is_one_for_the_spread() -> None:
    assert held("*", "", 0.0005) == (["0.0005  0.000 to 0.001  MISSED"], False)


def test_a_bar_is_not_for_the_rows_that_it_excepts() -> None:
    bar = Bar.model_validate({"title": "b", "over": "*", "other-than": "*pio*", "at-most": 1})
    spread = {"pio/1": [[100], [200]], "mmio": [[100], [100]]}
    about = DOORBELL.model_copy(update={"bars": (bar,)})
    assert table.bars(benchmark(spread), about) == (
        ["bar  at most  measured", "b        1  0.000  met"],
        True,
    )


@pytest.mark.parametrize("series", ["mmio-socket-v1", "kvm-task-api-v1"])
def test_the_baseline_of_a_series_of_its_own_meets_the_bars_of_the_doorbell(series: str) -> None:
    bench = baseline_file.read(PROJECT / f"benchmarks/{series}.json")
    lines, met = table.bars(bench, DOORBELL)
    assert met
    assert any("spread" in line and "met" in line for line in lines)


def test_the_baseline_meets_the_bars_of_the_doorbell() -> None:
    bench = baseline_file.read(PROJECT / "benchmarks/iosignalfd-v5.json")
    lines, met = table.bars(bench, DOORBELL)
    assert met
    assert len(lines) == 7
    assert not any("nothing" in line for line in lines)


def test_real_time_has_an_interval_and_no_rate() -> None:
    bench = benchmark({"vmm-mmio": [[5, 6, 7, 8, 9, 10]]}, clock=samples.WALL)
    lines = table.table(bench, DOORBELL)
    assert "ns a ring, median and its 95 % interval" in lines
    assert any(line.endswith("5-10") for line in lines)


def test_a_row_alone_has_no_relation() -> None:
    lines = table.table(benchmark({"syscall": [[200]]}), DOORBELL)
    assert any(line.split() == ["syscall", "200.0", "0.000%", "-", "0.400"] for line in lines)
    assert not any("2009" in line for line in lines)


def compared(after: samples.Benchmark) -> list[str]:
    return table.comparison(BENCH, after, samples.compare(BENCH, after), 0.005)


def test_a_comparison_names_what_moved_and_what_got_worse() -> None:
    after = benchmark(
        {
            "vmm-mmio": [[5000], [5000]],
            "iosignalfd-pio/any/1": [[1010], [1010]],
            "null-pio": [[900], [900]],
        },
        release="6.13",
    )
    assert compared(after) == [
        "made differently: release: 6.12.117 against 6.13",
        "WORSE iosignalfd-pio/any/1      1000.5      1010.0    +0.95%",
        "WORSE iosignalfd-hc/any/1       3000.0      absent",
        "      null-pio                  absent       900.0",
        "3 of 4 rows moved by more than their spread",
    ]


def test_a_comparison_with_itself_is_one_line() -> None:
    assert compared(BENCH) == ["0 of 3 rows moved by more than their spread"]
