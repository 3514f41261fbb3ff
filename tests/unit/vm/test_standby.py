"""A machine that waits from one run to the next is handed out once, as it was, or not at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, MachineLostError
from toolkit.core.model.machine import Splat
from toolkit.vm.factory import BootedGuest, MachineFactory
from toolkit.vm.snapshot import Snapshot
from toolkit.vm.standby import Standby

SAVED = Snapshot(Path("/saved/base"), (), {})


class Machines:
    """Makes machines of nothing, and says what was done with them."""

    def __init__(self, key: str = "base") -> None:
        self.key = key
        self.did: list[str] = []
        self.alive = 0
        self.splats: tuple[Splat, ...] = ()
        self.fails: str = ""  # what the guest does no more
        self.ready = threading.Event()  # restoring waits for it
        self.ready.set()

    def cache_keys(self) -> tuple[str, str]:
        return self.key, "loaded"

    @contextlib.contextmanager
    def restored(self, folder: Path, saved: Snapshot, deadline: Deadline) -> Iterator[BootedGuest]:
        while not self.ready.wait(0.01):
            deadline.check("restoring")
        self.note("restore")
        (folder / "console.log").write_text("a console\n")
        self.alive += 1
        vm = SimpleNamespace(
            pause=lambda: self.note("pause"),
            resume=lambda: self.note("resume"),
            splats=lambda: self.splats,
        )
        session = SimpleNamespace(
            set_clock=lambda: self.note("clock"), check=lambda command, deadline: self.note(command)
        )
        try:
            yield BootedGuest(cast("Any", vm), cast("Any", session))
        finally:
            self.alive -= 1

    def note(self, what: str) -> None:
        if what == self.fails:
            raise MachineLostError(what)
        self.did.append(what)

    @property
    def factory(self) -> MachineFactory:
        return cast("MachineFactory", self)


@pytest.fixture
def standby() -> Iterator[Standby]:
    with Standby() as standby:
        yield standby


def test_a_machine_waits_paused_and_goes_on_with_a_new_clock(
    standby: Standby, tmp_path: Path
) -> None:
    machines = Machines()
    standby.restock(machines.factory, lambda: SAVED)
    taken = standby.take("base", tmp_path / "evidence", soon())
    assert taken
    assert machines.did == ["restore", "true", "pause", "resume", "clock", "true"]
    assert machines.alive == 1
    taken[0].close()
    assert machines.alive == 0
    assert (tmp_path / "evidence/console.log").read_text() == "a console\n"
    assert standby.take("base", tmp_path, soon()) is None, "it is handed out once"


def test_one_that_waits_already_is_kept(standby: Standby, tmp_path: Path) -> None:
    machines = Machines()
    for _ in range(3):
        standby.restock(machines.factory, lambda: SAVED)
    taken = standby.take("base", tmp_path, soon())
    assert taken
    taken[0].close()
    assert machines.did.count("restore") == 1


def test_one_of_another_kernel_is_ended(standby: Standby, tmp_path: Path) -> None:
    machines, others = Machines(), Machines("other")
    standby.restock(machines.factory, lambda: SAVED)
    standby.restock(others.factory, lambda: SAVED)
    assert machines.alive == 0
    assert standby.take("base", tmp_path, soon()) is None
    assert others.alive == 0


@pytest.mark.parametrize("fails", ["resume", "clock"])
def test_one_that_answers_no_more_is_ended(standby: Standby, tmp_path: Path, fails: str) -> None:
    machines = Machines()
    machines.fails = fails
    standby.restock(machines.factory, lambda: SAVED)
    assert standby.take("base", tmp_path, soon()) is None
    assert machines.alive == 0
    assert "restore" in machines.did


def test_one_whose_kernel_complained_is_ended(standby: Standby, tmp_path: Path) -> None:
    machines = Machines()
    machines.splats = (Splat("warning", "WARNING: kvm.c:1", "", fatal=False, line=1),)
    standby.restock(machines.factory, lambda: SAVED)
    assert standby.take("base", tmp_path, soon()) is None
    assert machines.alive == 0


@pytest.mark.parametrize("fails", ["restore", "true", "pause"])
def test_one_that_cannot_be_made_is_no_fault_of_the_run(
    standby: Standby, tmp_path: Path, fails: str
) -> None:
    machines = Machines()
    machines.fails = fails
    standby.restock(machines.factory, lambda: SAVED)
    assert standby.take("base", tmp_path, soon()) is None
    assert machines.alive == 0
    machines.fails = ""
    standby.restock(machines.factory, lambda: None)
    assert standby.take("base", tmp_path, soon()) is None, "nothing was saved"


def test_who_takes_one_that_is_being_made_waits_for_it(standby: Standby, tmp_path: Path) -> None:
    machines = Machines()
    machines.ready.clear()
    standby.restock(machines.factory, lambda: SAVED)
    timer = threading.Timer(0.05, machines.ready.set)
    timer.start()
    taken = standby.take("base", tmp_path, soon())
    timer.join()
    assert taken
    taken[0].close()


def test_a_run_that_is_cancelled_ends_what_is_being_made(tmp_path: Path) -> None:
    machines, deadline = Machines(), soon().cancellable()
    machines.ready.clear()
    deadline.cancel()
    with Standby() as standby:
        standby.restock(machines.factory, lambda: SAVED)
        with pytest.raises(DeadlineError):
            standby.take("base", tmp_path, deadline)
        machines.ready.set()
        time.sleep(0.05)
        assert machines.alive == 0, "the thread heard of it, and made none"


def test_leaving_ends_the_machine_that_waits(tmp_path: Path) -> None:
    machines = Machines()
    with Standby() as standby:
        standby.restock(machines.factory, lambda: SAVED)
    assert machines.alive == 0
    machines.ready.clear()
    with Standby() as standby:
        standby.restock(machines.factory, lambda: SAVED)
    assert machines.alive == 0, "and one that is being made"


def test_a_machine_that_nobody_takes_is_ended(tmp_path: Path) -> None:
    machines = Machines()
    with Standby(kept_seconds=0.05) as standby:
        standby.restock(machines.factory, lambda: SAVED)
        for thread in threading.enumerate():
            if thread.name == "standby" or isinstance(thread, threading.Timer):
                thread.join()
        assert machines.alive == 0
        assert standby.take("base", tmp_path, soon()) is None
