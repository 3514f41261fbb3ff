"""The runner against a machine and a session that do as they are told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from toolkit import selftests
from toolkit.deadline import Deadline
from toolkit.errors import DeadlineError, MachineLostError
from toolkit.guest import CommandResult
from toolkit.model import Outcome, RawRun, Splat, TestProgram

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)
PANIC = Splat("panic", "Kernel panic - not syncing", "Kernel panic …", fatal=True, line=9)
Act = Callable[["FakeMachine", Callable[[bytes], object]], CommandResult]


class FakeMachine:
    def __init__(self) -> None:
        self.complaints: list[Splat] = []
        self.ended = False

    def splats(self) -> tuple[Splat, ...]:
        return tuple(self.complaints)

    settle = splats

    def kernel_ended(self) -> bool:
        return self.ended

    def dead(self) -> str:
        return "the kernel ended with: Kernel panic" if self.ended else ""

    def expect(self, words: bytes) -> Any:
        class Seen:
            @staticmethod
            def wait(seconds: float) -> bool:
                return True

        return Seen()


class FakeSession:
    def __init__(self, machine: FakeMachine, acts: dict[str, Act]) -> None:
        self.machine = machine
        self.acts = acts
        self.commands: list[str] = []

    def run(self, command: str, **options: Any) -> CommandResult:
        self.commands.append(command)
        for name, act in self.acts.items():
            if command.endswith(f"./{name}"):
                return act(self.machine, options["on_stdout"])
        return CommandResult(0, None, b"", b"", 0.0)


class Bench:
    """Boots fake machines and counts them."""

    def __init__(self, **acts: Act) -> None:
        self.acts = acts
        self.sessions: list[FakeSession] = []
        self.stopped = 0

    @contextlib.contextmanager
    def boot(self) -> Iterator[Any]:
        machine = FakeMachine()
        session = FakeSession(machine, self.acts)
        self.sessions.append(session)
        try:
            yield machine, session
        finally:
            self.stopped += 1

    def run(self, *names: str, lines: list[str] | None = None) -> list[RawRun]:
        heard = lines if lines is not None else []
        runs = list(
            selftests.run(
                [TestProgram("kvm", name, 30.0) for name in names],
                self.boot,
                environment={"KSFT_SLOW": "1 2"},
                deadline=Deadline.after(60),
                on_line=lambda program, line: heard.append(f"{program.name}: {line}"),
            )
        )
        assert self.stopped == len(self.sessions)
        return runs


def good(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    out(b"ok 1 fi")
    out(b"ne\nok 2 too\n")
    return CommandResult(0, None, b"", b"", 0.1)


def oops(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    machine.complaints.append(OOPS)
    return CommandResult(None, "KILL", b"", b"", 0.1)


def panic(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    out(b"ok 1 before\n")
    machine.complaints.append(PANIC)
    machine.ended = True
    raise MachineLostError("gone")


def hang(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    out(b"ok 1 before\n")
    raise DeadlineError("it", 30)


def lost(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    raise MachineLostError("QEMU was killed by signal 9")


def test_good_programs_share_one_machine_and_lines_come_whole() -> None:
    bench, lines = Bench(a=good, b=good), list[str]()
    runs = bench.run("a", "b", lines=lines)
    assert [run.outcome for run in runs] == [Outcome.COMPLETED] * 2
    assert runs[0].stdout == "ok 1 fine\nok 2 too\n"
    assert len(runs[0].marks) == 2
    assert lines[:2] == ["a: ok 1 fine", "a: ok 2 too"]
    assert len(bench.sessions) == 1
    assert bench.sessions[0].commands[0] == ("cd /kselftest/kvm && exec env KSFT_SLOW='1 2' ./a")


@pytest.mark.parametrize(
    ("act", "outcome"),
    [(oops, Outcome.COMPLETED), (panic, Outcome.PANICKED), (hang, Outcome.TIMED_OUT)],
)
def test_what_breaks_a_machine_costs_one_program(act: Act, outcome: Outcome) -> None:
    bench = Bench(a=good, bad=act, c=good)
    runs = bench.run("a", "bad", "c")
    assert [run.outcome for run in runs] == [Outcome.COMPLETED, outcome, Outcome.COMPLETED]
    assert len(bench.sessions) == 2
    assert [run.splats for run in (runs[0], runs[2])] == [(), ()]


def test_splats_go_to_the_program_that_ran() -> None:
    (_, bad) = Bench(a=good, bad=oops).run("a", "bad")
    assert bad.splats == (OOPS,)
    assert bad.signal == "KILL"


def test_a_panic_keeps_what_was_said_before_it() -> None:
    (run,) = Bench(bad=panic).run("bad")
    assert run.stdout == "ok 1 before\n"
    assert run.splats == (PANIC,)
    assert "Kernel panic" in run.note


def test_a_hang_asks_the_kernel_for_evidence() -> None:
    bench = Bench(bad=hang)
    (run,) = bench.run("bad")
    assert "sysrq-trigger" in bench.sessions[0].commands[-1]
    assert run.note == "did not end within 30 s"


def test_a_machine_lost_for_no_reason_of_the_kernels_ends_the_run() -> None:
    bench = Bench(a=good, bad=lost)
    with pytest.raises(MachineLostError, match="signal 9"):
        bench.run("a", "bad", "a")
    assert bench.stopped == len(bench.sessions) == 1
