"""Every fault that needs no machine, injected into a real command line: docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fault_table
from tests.fault_table import Fault
from tests.unit.faults import callers, hosts
from tests.unit.faults.scene import Scene

SECTION = "Without a machine"
TABLE = [*hosts.FAULTS, *callers.FAULTS]
# Where the fault lies in what the caller wrote, nothing was done yet that could spoil the next run.
_DISTURBS = ("host", "QEMU", "cache", "network")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.kill_left()


@pytest.mark.parametrize("fault", TABLE, ids=lambda fault: fault.name)
def test_a_fault(scene: Scene, fault: Fault) -> None:
    ended = fault.inject(scene)
    line = fault_table.row(fault, ended)
    scene.check_nothing_runs()
    scene.check_sound()
    if fault.group in _DISTURBS and scene.cache.is_dir():
        scene.check_next_run()
    fault_table.check(SECTION, line, TABLE)


def test_the_page_has_these_faults_and_no_other() -> None:
    names = [(fault.group, fault.done) for fault in fault_table.ordered(TABLE)]
    assert [fault_table.name(line) for line in fault_table.section(SECTION)] == names
    assert len(set(names)) == len(names)
