from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.bench import runner
from toolkit.bench.log import BenchLog
from toolkit.bench.samples import INSN, Sample
from toolkit.core.errors import InfrastructureError, KernelError


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
    assert runner.Plan(INSN, rows=rows).with_qemu == with_qemu


def test_there_is_no_guest_with_qemu_on_the_host() -> None:
    assert not runner.Plan(INSN, where=runner.HOST).with_qemu


def test_the_rows_of_qemu_are_those_of_its_script() -> None:
    script = Path(__file__).parents[3] / "kselftests" / runner.SUITE / runner.QEMU_PROGRAM
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("rows=")]
    assert set(line.removeprefix("rows=").strip("'").split()) == set(runner.QEMU_ROWS)


def test_a_failed_row_is_the_kernels_fault() -> None:
    with pytest.raises(KernelError, match="1 rows") as caught:
        runner.checked(BenchLog(failed={"vmm-pio": "EBADMSG"}, done=True))
    assert caught.value.detail == ("vmm-pio: EBADMSG",)


def test_a_program_that_ended_early_is_not() -> None:
    with pytest.raises(InfrastructureError, match="ended early"):
        runner.checked(BenchLog(clock="insn", unit=0.5))


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
