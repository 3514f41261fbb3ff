"""The scheduler with machines that are counters, and programs that are functions."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, MachineLostError
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import Outcome, RawRun, TestProgram
from toolkit.testing import scheduler
from toolkit.testing.scheduler import Isolation

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)


@dataclass
class Machine:
    number: int
    served: list[str] = field(default_factory=list)


class Farm:
    """Lends machines, and knows which of them are out."""

    def __init__(self, broken_by: frozenset[str] = frozenset()) -> None:
        self.lock = threading.Lock()
        self.made: list[Machine] = []
        self.out = self.most = 0
        self.broken_by = broken_by

    @contextlib.contextmanager
    def lend(self) -> Iterator[Machine]:
        with self.lock:
            machine = Machine(len(self.made))
            self.made.append(machine)
            self.out += 1
            self.most = max(self.most, self.out)
        try:
            yield machine
        finally:
            with self.lock:
                self.out -= 1

    def run_one(self, machine: Machine, program: TestProgram, on_line: scheduler.OnLine) -> RawRun:
        machine.served.append(program.name)
        on_line(program, f"on {machine.number}")
        broken = program.name in self.broken_by
        outcome = Outcome.TIMED_OUT if broken else Outcome.COMPLETED
        return RawRun(program.suite, program.name, outcome, 0, None, "", "", 0.0)


def programs(*names: str, suite: str = "kvm") -> list[TestProgram]:
    return [TestProgram(suite, name, 30.0) for name in names]


def run(
    farm: Farm,
    wanted: list[TestProgram],
    *,
    isolation: Isolation = Isolation.PROGRAM,
    machines: int = 2,
    run_one: Callable[[Machine, TestProgram, scheduler.OnLine], RawRun] | None = None,
    lines: list[str] | None = None,
) -> list[RawRun]:
    heard = lines if lines is not None else []
    try:
        return list(
            scheduler.run(
                scheduler.batches(wanted, isolation),
                farm.lend,
                run_one or farm.run_one,
                machines=machines,
                deadline=Deadline.after(60).cancellable(),
                on_line=lambda program, line: heard.append(f"{program.name} {line}"),
            )
        )
    finally:
        assert farm.out == 0, "a machine was left running"


@settings(deadline=None)
@given(count=st.integers(0, 12), machines=st.integers(1, 4), broken=st.sets(st.integers(0, 11)))
def test_every_program_runs_once_on_a_machine_of_its_own(
    count: int, machines: int, broken: set[int]
) -> None:
    farm = Farm(frozenset(str(number) for number in broken))
    names = [str(number) for number in range(count)]
    runs = run(farm, programs(*names), machines=machines)
    assert sorted(raw.program for raw in runs) == sorted(names)
    assert sorted(machine.served for machine in farm.made) == sorted([name] for name in names)
    assert farm.most <= machines + 1


def test_a_suite_shares_a_machine_until_a_program_breaks_it() -> None:
    farm = Farm(frozenset({"b"}))
    wanted = programs("a", "b", "c", "d") + programs("x", "y", suite="net")
    run(farm, wanted, isolation=Isolation.SUITE, machines=1)
    assert [machine.served for machine in farm.made if machine.served] == [
        ["a", "b"],
        ["x", "y"],
        ["c", "d"],
    ] or [machine.served for machine in farm.made if machine.served] == [
        ["a", "b"],
        ["c", "d"],
        ["x", "y"],
    ]


def test_a_splat_breaks_a_machine_too() -> None:
    farm = Farm()

    def splat(machine: Machine, program: TestProgram, _: scheduler.OnLine) -> RawRun:
        machine.served.append(program.name)
        return RawRun("kvm", program.name, Outcome.COMPLETED, 0, None, "", "", 0.0, (OOPS,))

    run(farm, programs("a", "b"), isolation=Isolation.SUITE, run_one=splat)
    assert [machine.served for machine in farm.made] == [["a"], ["b"]]


def test_machines_work_at_the_same_time() -> None:
    """Both programs wait for each other: one after the other they would never end."""
    farm, together = Farm(), threading.Barrier(2, timeout=30)

    def meet(machine: Machine, program: TestProgram, on_line: scheduler.OnLine) -> RawRun:
        together.wait()
        return farm.run_one(machine, program, on_line)

    assert len(run(farm, programs("a", "b"), run_one=meet)) == 2


def test_the_next_machine_is_made_while_a_program_runs() -> None:
    farm = Farm()

    def wait_for_spare(machine: Machine, program: TestProgram, on_line: scheduler.OnLine) -> RawRun:
        end = time.monotonic() + 30
        while program.name == "a" and len(farm.made) < 2:
            assert time.monotonic() < end, "no machine was made ahead"
            time.sleep(0.01)
        return farm.run_one(machine, program, on_line)

    run(farm, programs("a", "b"), machines=1, run_one=wait_for_spare)


def test_no_spare_machine_is_made_before_every_worker_has_its_first() -> None:
    farm = Farm()
    slow = threading.Event()
    made: list[int] = []

    @contextlib.contextmanager
    def lend() -> Iterator[Machine]:
        with farm.lend() as machine:
            if machine.number == 1:
                slow.wait(0.3)  # the second worker waits for this one
                made.append(len(farm.made))
            yield machine

    list(
        scheduler.run(
            scheduler.batches(programs("a", "b", "c", "d"), Isolation.PROGRAM),
            lend,
            lambda machine, program, on_line: (
                (slow.wait(0.5) and None) or farm.run_one(machine, program, on_line)
            ),
            machines=2,
            deadline=Deadline.after(60).cancellable(),
            on_line=lambda *_: None,
        )
    )
    assert made == [2]


def test_lines_are_told_in_the_callers_thread() -> None:
    lines = list[str]()
    run(Farm(), programs("a"), lines=lines)
    assert lines == ["a on 0"]


def test_a_lost_machine_stops_everything_and_leaves_nothing() -> None:
    farm = Farm()

    def lost(machine: Machine, program: TestProgram, on_line: scheduler.OnLine) -> RawRun:
        raise MachineLostError("QEMU was killed by signal 9")

    with pytest.raises(MachineLostError, match="signal 9"):
        run(farm, programs(*"abcdef"), run_one=lost)


def test_a_machine_that_cannot_be_made_is_told() -> None:
    farm = Farm()

    @contextlib.contextmanager
    def none() -> Iterator[Machine]:
        raise MachineLostError("no QEMU")
        yield

    farm.lend = none  # type: ignore[method-assign]
    with pytest.raises(MachineLostError, match="no QEMU"):
        run(farm, programs("a", "b"))


def test_who_stops_listening_stops_the_machines() -> None:
    farm, deadline = Farm(), Deadline.after(60).cancellable()

    def until_cancelled(machine: Machine, program: TestProgram, _: scheduler.OnLine) -> RawRun:
        while program.name != "a" and not deadline.cancelled():
            time.sleep(0.01)
        return farm.run_one(machine, program, lambda *_: None)

    found = scheduler.run(
        scheduler.batches(programs("a", "b", "c"), Isolation.PROGRAM),
        farm.lend,
        until_cancelled,
        machines=2,
        deadline=deadline,
        on_line=lambda *_: None,
    )
    assert next(iter(found)).program == "a"
    found.close()  # type: ignore[attr-defined]
    assert deadline.cancelled()
    assert farm.out == 0


def refusing(farm: Farm, *, always: bool) -> Callable[..., RawRun]:
    """Return what cannot start a program: on any machine, or on one that "breaks" was on."""

    def one(machine: Machine, program: TestProgram, on_line: scheduler.OnLine) -> RawRun:
        if always or "breaks" in machine.served:
            raise scheduler.UnusableMachineError from InfrastructureError("tar: not found")
        return farm.run_one(machine, program, on_line)

    return one


def test_a_machine_that_a_program_made_unusable_costs_no_other_program() -> None:
    farm = Farm()
    wanted = programs("a", "breaks", "b", "c")
    one = refusing(farm, always=False)
    runs = run(farm, wanted, isolation=Isolation.SUITE, machines=1, run_one=one)
    assert [raw.program for raw in runs] == ["a", "breaks", "b", "c"]
    assert [machine.served for machine in farm.made] == [["a", "breaks"], ["b", "c"]]


def test_a_fresh_machine_that_is_unusable_ends_the_run() -> None:
    farm = Farm()
    with pytest.raises(InfrastructureError, match="tar: not found"):
        run(farm, programs("a", "b"), run_one=refusing(farm, always=True))
