from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.bench_samples import DOORBELL, SUITES
from toolkit.bench import runner
from toolkit.bench.log import BenchLog
from toolkit.bench.manifest import BenchManifest
from toolkit.bench.samples import Sample
from toolkit.core.arch import RISCV64
from toolkit.core.errors import InfrastructureError, KernelError, UserError


@pytest.mark.parametrize(("arch", "with_qemu"), [("", True), ("x86_64", True), ("arm64", False)])
def test_the_second_program_may_be_for_one_architecture_alone(arch: str, with_qemu: bool) -> None:
    plan = runner.Plan("doorbell", DOORBELL, arch=arch)
    assert bool(plan.extra) == with_qemu
    assert (plan.image == "nested") == with_qemu


@pytest.mark.parametrize(
    ("rows", "with_qemu"),
    [
        ((), True),
        (("vmm-*",), False),
        (("qemu-pio/none",), True),
        (("null-*", "qemu-*"), True),
        (("*",), True),
    ],
)
def test_a_plan_knows_whether_it_needs_a_qemu(rows: tuple[str, ...], with_qemu: bool) -> None:
    plan = runner.Plan("doorbell", DOORBELL, rows=rows)
    assert bool(plan.extra) == with_qemu
    assert plan.image == ("nested" if with_qemu else "minimal")


def test_there_is_no_guest_with_qemu_on_the_host() -> None:
    plan = runner.Plan("doorbell", DOORBELL, where=runner.HOST)
    assert plan.extra is None
    assert plan.image == "minimal"


def test_a_host_measures_nothing_of_another_architecture() -> None:
    plan = runner.Plan("doorbell", DOORBELL, where=runner.HOST)
    run: Any = SimpleNamespace(arch=RISCV64)
    with pytest.raises(UserError, match="no programs for riscv64"):
        runner.measure(run, plan)


def test_a_suite_may_do_without_a_second_program() -> None:
    assert runner.Plan("x", BenchManifest(program="x")).extra is None


def test_the_rows_of_qemu_are_those_of_its_script() -> None:
    assert DOORBELL.extra
    script = SUITES / "doorbell" / DOORBELL.extra.program
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("rows=")]
    assert set(line.removeprefix("rows=").strip("'").split()) == set(DOORBELL.extra.rows)


def test_a_failed_row_is_the_kernels_fault() -> None:
    with pytest.raises(KernelError, match="1 row of") as caught:
        runner.checked(BenchLog(failed={"vmm-pio": "EBADMSG"}, done=True), DOORBELL)
    assert caught.value.detail == ("vmm-pio: EBADMSG",)
    assert "EBADMSG: rings got lost" in caught.value.hint


def test_a_program_that_ended_early_is_not() -> None:
    with pytest.raises(InfrastructureError, match="ended early"):
        runner.checked(BenchLog(clock="insn", unit=0.5), DOORBELL)


def test_the_runs_of_a_row_keep_their_clocks() -> None:
    logs = [
        BenchLog("insn", 0.5, {"a": [Sample(1, 3, 1)]}),
        BenchLog("insn", 0.25, {"a": [Sample(1, 5, 1)], "b": [Sample(1, 1, 1)]}),
    ]
    first, second = runner.rows_of(logs)
    assert (first.name, first.units) == ("a", (0.5, 0.25))
    assert (second.name, second.units, len(second.runs)) == ("b", (0.25,), 1)


def test_a_recorded_command_names_no_folder() -> None:
    argv = ["/usr/bin/qemu", "-kernel", "/home/me/x/vmlinux", "name=opt/a/b,file=/tmp/k,,1/key"]
    assert runner.portable(argv) == ("qemu", "-kernel", "vmlinux", "name=opt/a/b,file=key")
