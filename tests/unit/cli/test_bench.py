from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from toolkit.cli import main

PROJECT = Path(__file__).parents[3]
BASELINE = str(PROJECT / "benchmarks/iosignalfd-v5.json")


def call(*words: str) -> Result:
    return CliRunner().invoke(main.cli, ["bench", *words])


def test_a_suite_is_a_command_of_its_own() -> None:
    assert "Usage: cli bench doorbell [OPTIONS]" in call("doorbell", "--help").output
    listed = call("--help").output
    assert all(f"  {name} " in listed for name in ("doorbell", "compare", "show"))


def test_another_suite_is_the_callers_fault() -> None:
    result = call("kvm")
    assert result.exception
    assert "kselftests/kvm/bench.yaml" in getattr(result.exception, "hint", "")


def test_show_prints_the_table_of_a_baseline_again() -> None:
    golden = (PROJECT / "tests/data/bench/iosignalfd-v5.txt").read_text()
    assert call("show", BASELINE).output == golden


def test_show_holds_a_baseline_to_its_bars() -> None:
    result = call("show", "--bars", BASELINE)
    assert result.exit_code == 0
    assert result.output.count("  met\n") == 6


def test_a_benchmark_compared_with_itself_has_not_moved() -> None:
    result = call("compare", BASELINE, BASELINE)
    assert (result.exit_code, result.output.split()[0]) == (0, "0")
