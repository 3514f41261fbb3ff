"""The runner against a machine and a session that do as they are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.linear import assert_linear
from toolkit.core.clock import Clock
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.machine import Splat
from toolkit.core.model.testing import BuiltSuite, Outcome, RawRun, TestProgram
from toolkit.formats import ktap
from toolkit.testing import guest_program
from toolkit.vm import coldplug
from toolkit.vm.ssh import CommandResult

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)
PANIC = Splat("panic", "Kernel panic - not syncing", "Kernel panic …", fatal=True, line=9)
LEAK = Splat("kmemleak", "kmemleak: 1 new suspected memory leaks", "…", fatal=False, line=9)
Act = Callable[["FakeMachine", Callable[[bytes], object]], CommandResult]


class FakeMachine:
    def __init__(self) -> None:
        self.complaints: list[Splat] = []
        self.ended = False
        self.killed = False
        self.stopped_for = 0.0

        self.starved_for = 0.0

    def stopped(self) -> float:
        return self.stopped_for

    def lost(self) -> float:
        return self.stopped_for + self.starved_for

    def splats(self) -> tuple[Splat, ...]:
        return tuple(self.complaints)

    settle = splats

    def kernel_ended(self) -> bool:
        return self.ended

    def dead(self) -> str:
        if self.killed:
            return "QEMU was killed by signal 9"
        return "the kernel ended with: Kernel panic" if self.ended else ""

    def console_size(self) -> int:
        return 7

    def console(self, start: int) -> str:
        assert start == 7
        return "what the console has"

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
        self.lost = options.get("lost")
        for name, act in self.acts.items():
            if command.endswith(f"./{name}"):
                return act(self.machine, options["on_stdout"])
        return CommandResult(0, None, b"", b"", 0.0)

    def check(self, command: str, **options: Any) -> CommandResult:
        self.commands.append(command)
        return CommandResult(0, None, b"unreferenced object 0xff \x1b[2J\n", b"", 0.0)


class FakeWitness:
    def __init__(self, session_commands: list[str]) -> None:
        self.commands = session_commands

    def before(self, session: Any, program: TestProgram, deadline: Deadline) -> None:
        self.commands.append("before")

    def after(
        self, session: Any, program: TestProgram, deadline: Deadline, *, late: bool = False
    ) -> None:
        self.commands.append("late" if late else "after")

    def gone(self, program: TestProgram, why: str) -> None:
        self.commands.append(f"gone: {why}")


def run(
    act: Act, *, leaks: bool = False, lines: list[str] | None = None, watched: bool = False
) -> RawRun:
    """Run one program that does as ``act`` says."""
    heard = lines if lines is not None else []
    machine = FakeMachine()
    session = FakeSession(machine, {"bad": act})
    run.commands = session.commands  # type: ignore[attr-defined]
    run.session = session  # type: ignore[attr-defined]
    return guest_program.run_program(
        machine,  # type: ignore[arg-type]
        session,  # type: ignore[arg-type]
        TestProgram("kvm", "bad", 30.0, by_status=True),
        environment={"KSFT_SLOW": "1 2"},
        deadline=Deadline.after(60),
        on_line=lambda program, line: heard.append(f"{program.name}: {line}"),
        leaks=leaks,
        witness=FakeWitness(session.commands) if watched else None,
    )


def test_what_a_suite_sets_is_there_and_gives_way_to_the_caller() -> None:
    program = TestProgram("kvm", "bad", 30.0, environment={"KDIR": ".", "LEVEL": "1"})
    command = guest_program._command(program, {"LEVEL": "2"})
    assert command == "cd /kselftest/kvm && KDIR=. LEVEL=2 exec ./bad"


def test_a_program_without_a_limit_has_the_run_s() -> None:
    limits: list[float] = []

    class Session(FakeSession):
        def run(self, command: str, **options: Any) -> CommandResult:
            limits.append(options["deadline"].budget)
            return super().run(command, **options)

    machine = FakeMachine()
    for seconds in (30.0, 0.0):
        guest_program.run_program(
            machine,  # type: ignore[arg-type]
            Session(machine, {"bad": good}),  # type: ignore[arg-type]
            TestProgram("kvm", "bad", seconds),
            environment={},
            deadline=Deadline.after(60),
            on_line=lambda *_: None,
        )
    assert [limits[0], limits[len(limits) // 2]] == [30.0, 60.0]


def commands() -> list[str]:
    """Return what the last program's session was asked to do."""
    return list(run.commands)  # type: ignore[attr-defined]


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
    machine.killed = True
    raise MachineLostError("the SSH connection broke")


def no_ssh(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
    out(b"ok 1 before\n")
    raise MachineLostError("the guest ended the command without an exit status")


def test_lines_come_whole() -> None:
    lines = list[str]()
    raw = run(good, lines=lines)
    assert raw.outcome is Outcome.COMPLETED
    assert raw.stdout == "ok 1 fine\nok 2 too\n"
    assert raw.by_status
    assert len(raw.marks) == 2
    assert lines == ["bad: ok 1 fine", "bad: ok 2 too"]
    assert commands()[0] == "cd /kselftest/kvm && KSFT_SLOW='1 2' exec ./bad"


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (oops, Outcome.COMPLETED),
        (panic, Outcome.PANICKED),
        (hang, Outcome.TIMED_OUT),
        (no_ssh, Outcome.LOST),
    ],
)
def test_how_a_program_may_end(act: Act, outcome: Outcome) -> None:
    assert run(act).outcome is outcome


def test_splats_go_to_the_program_that_ran() -> None:
    raw = run(oops)
    assert raw.splats == (OOPS,)
    assert raw.signal == "KILL"
    assert raw.console == "what the console has"


def test_a_panic_keeps_what_was_said_before_it() -> None:
    raw = run(panic)
    assert raw.stdout == "ok 1 before\n"
    assert raw.splats == (PANIC,)
    assert "Kernel panic" in raw.note


def test_a_hang_asks_the_kernel_for_evidence() -> None:
    assert run(hang).note == "did not end within 30 s"
    assert "sysrq-trigger" in commands()[-1]


def test_a_machine_lost_for_no_reason_of_the_kernels_ends_the_run() -> None:
    with pytest.raises(MachineLostError, match="signal 9"):
        run(lost)


def test_a_program_that_kills_the_ssh_server_costs_itself_alone() -> None:
    raw = run(no_ssh, watched=True)
    assert raw.stdout == "ok 1 before\n"
    assert raw.note.startswith("it ended the guest's SSH server or network; the machine still ran")
    assert commands()[-1].startswith("gone: it ended the guest's SSH server")


def test_what_was_not_seen_of_the_kernels_log_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = "the console does not show what the kernel logged: kernel.printk is 1"
    monkeypatch.setattr(coldplug, "synchronise", lambda *_: unseen)
    raw = run(good)
    assert (raw.outcome, raw.note) == (Outcome.COMPLETED, f"after the program, {unseen}")


def test_a_guest_whose_files_a_program_broke_costs_that_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(self: FakeSession, command: str, **options: Any) -> CommandResult:
        raise InfrastructureError("`cat` failed in the guest with exit status 127")

    monkeypatch.setattr(FakeSession, "check", check)
    raw = run(good, leaks=True)
    assert (raw.outcome, raw.exit_status) == (Outcome.COMPLETED, 0)
    assert raw.note == "after the program, `cat` failed in the guest with exit status 127"


def stands_still(seconds: float, then: Act, *complaints: Splat) -> Act:
    """Return a program whose machine is stopped before it does as ``then`` does."""

    def act(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
        machine.stopped_for += seconds
        machine.complaints += complaints
        return then(machine, out)

    return act


def test_a_program_whose_machine_stood_still_is_not_called_hung() -> None:
    with pytest.raises(MachineLostError, match="QEMU or the host was stopped for 30 s while"):
        run(stands_still(30, hang))


def test_a_program_that_hangs_after_its_machine_stood_still_is() -> None:
    assert run(stands_still(29, hang)).outcome is Outcome.TIMED_OUT


def test_the_time_in_which_a_busy_host_did_not_run_qemu_does_not_count() -> None:
    heard: list[float] = []

    def starves(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
        machine.starved_for = 12.5
        heard.append(run.session.lost())  # type: ignore[attr-defined]
        return hang(machine, out)

    assert run(starves).outcome is Outcome.TIMED_OUT, "and it is no fault of the host's"
    assert heard == [12.5]


STALL = Splat("soft-lockup", "watchdog: BUG: soft lockup", "…", fatal=False, line=9)


@pytest.mark.parametrize("complaint", [STALL, OOPS])
def test_a_stall_of_a_machine_that_stood_still_is_nobodys_fault(complaint: Splat) -> None:
    assert run(stands_still(1, good, complaint)).splats == (complaint,)
    if complaint is OOPS:
        assert run(stands_still(25, good, complaint)).splats == (complaint,)
    else:
        with pytest.raises(MachineLostError, match="was stopped"):
            run(stands_still(25, good, complaint))


def test_a_stall_is_nobodys_fault_either_where_the_host_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stood_still = Clock()
    monkeypatch.setattr(guest_program, "clock", stood_still)

    def frozen(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
        stood_still.tick(time.monotonic() - 400)
        return stands_still(0, good, STALL)(machine, out)

    with pytest.raises(MachineLostError, match="QEMU or the host was stopped for 400 s while"):
        run(frozen)


def test_a_log_that_nobody_saw_because_the_machine_stood_still_is_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coldplug, "synchronise", lambda *_: "the guest did not run a command")
    assert run(stands_still(1, good)).note == "after the program, the guest did not run a command"
    with pytest.raises(MachineLostError, match="was stopped"):
        run(stands_still(25, good))


def test_a_leak_comes_with_its_report() -> None:
    def leak(machine: FakeMachine, out: Callable[[bytes], object]) -> CommandResult:
        machine.complaints.append(LEAK)
        return CommandResult(0, None, b"", b"", 0.1)

    raw = run(leak, leaks=True)
    assert any("scan >kmemleak" in command for command in commands())
    (splat,) = raw.splats
    assert splat.title == LEAK.title
    assert "unreferenced object" in splat.text
    assert "\x1b" not in splat.text


def test_a_witness_looks_right_before_and_after_and_ahead_of_kmemleak() -> None:
    run(good, watched=True, leaks=True)
    program = "cd /kselftest/kvm && KSFT_SLOW='1 2' exec ./bad"
    assert commands()[:3] == ["before", program, "after"]
    assert "kmemleak" in commands()[3]


@pytest.mark.parametrize(
    ("act", "said"), [(hang, "late"), (panic, "gone: the kernel ended with: Kernel panic")]
)
def test_a_witness_hears_of_hangs_and_panics(act: Act, said: str) -> None:
    run(act, watched=True)
    assert commands()[-1] == said


def test_nothing_is_scanned_where_the_kernel_cannot() -> None:
    run(good)
    assert not any("kmemleak" in command for command in commands())


class ListingSession(FakeSession):
    """A guest in which every program lists one case, or hangs."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__(FakeMachine(), {})
        self.hangs = hangs

    def put(self, *_: Any, **__: Any) -> None:
        self.commands.append("put")

    def run(self, command: str, **options: Any) -> CommandResult:
        super().run(command, **options)
        if self.hangs:
            raise DeadlineError("the list", 30)
        listing = f"{'# FIXTURE':<20} {'VARIANT':<25} TEST\n{'f':<20} {'':<25} one\n"
        return CommandResult(4, None, b"", listing.encode(), 0.1)


@pytest.mark.parametrize(
    ("content", "hangs", "found"),
    [
        (b"\x7fELF # FIXTURE", False, ("f.one",)),
        (b"\x7fELF # FIXTURE", True, ()),
        (b"\x7fELF of another harness", False, ()),
    ],
)
def test_the_cases_of_a_program_are_asked_for_in_the_guest(
    tmp_path: Path, content: bytes, hangs: bool, found: tuple[str, ...]
) -> None:
    (tmp_path / "a test").write_bytes(content)
    program = TestProgram("kvm", "a test", 30.0)
    session = ListingSession(hangs=hangs)
    built = BuiltSuite("kvm", tmp_path, (program,))
    asked = guest_program.cases(session, built, program, Deadline.after(60))  # type: ignore[arg-type]
    assert asked == found
    assert session.commands == (
        ["put", "cd /kselftest/kvm && ./'a test' -l"] if b"# FIXTURE" in content else []
    )


def test_a_case_runs_alone() -> None:
    machine = FakeMachine()
    session = FakeSession(machine, {})
    guest_program.run_program(
        machine,  # type: ignore[arg-type]
        session,  # type: ignore[arg-type]
        TestProgram("kvm", "good", 30.0, case="f.one"),
        environment={},
        deadline=Deadline.after(60),
        on_line=lambda *_: None,
    )
    assert session.commands[0] == "cd /kselftest/kvm && exec ./good -r f.one"


def test_a_program_comes_alone_and_a_script_with_its_suite(tmp_path: Path) -> None:
    for name, content in (("a", b"\x7fELF"), ("b", b"\x7fELF"), ("c.sh", b"#!"), ("data", b"")):
        (tmp_path / name).write_bytes(content)
    names = ("a", "b", "c.sh")
    programs = tuple(TestProgram("kvm", name, 30.0) for name in names)
    built = BuiltSuite("kvm", tmp_path, programs)

    def sent(program: TestProgram) -> set[str]:
        found: set[str] = set()

        class Session:
            @staticmethod
            def put(source: Path, folder: str, *, deadline: Deadline, only: set[str]) -> None:
                assert (source, folder) == (tmp_path, "/kselftest/kvm")
                found.update(only)

        guest_program.install(Session, built, program, Deadline.after(1))  # type: ignore[arg-type]
        return found

    assert sent(programs[0]) == {"a", "data"}
    assert sent(programs[2]) == {"a", "b", "c.sh", "data"}


def output(heard: list[str]) -> guest_program._Output:
    return guest_program._Output(heard.append, 0.0)


@pytest.mark.parametrize("chunk", [b"x" * 4096, b"\n" * 4096, b"ok 1 x\n" * 600, b"x"])
def test_output_is_taken_in_linear_time(chunk: bytes) -> None:
    def work(size: int) -> None:
        taken = output([])
        for _ in range(size):
            taken.stdout(chunk)

    assert_linear(work, 20_000 if len(chunk) == 1 else 40)


def test_what_is_kept_of_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_program, "_STREAM_LIMIT", 1000)
    heard = list[str]()
    taken = output(heard)
    taken.stdout(b"x" * 100_000 + b"\nrest")
    assert [len(line) for line in heard] == [guest_program._LINE_LIMIT]
    assert (len(taken.out), len(taken.pending), taken.dropped) == (1000, 4, 99_005)
    taken.stdout(b"y" * 100_000)
    assert len(taken.pending) == guest_program._LINE_LIMIT
    taken.stdout(b"\n" + b"ok\n" * 200_000)
    assert len(heard) < 2 * guest_program._LINES_SHOWN
    assert len(taken.marks) <= ktap.MAX_REPORTS


def test_a_program_has_its_launcher_and_its_folder(tmp_path: Path) -> None:
    machine = FakeMachine()
    session = FakeSession(machine, {})
    program = TestProgram("net", "a b.sh", 30.0, folder="net/forwarding", launcher=".launch")
    guest_program.run_program(
        machine,  # type: ignore[arg-type]
        session,  # type: ignore[arg-type]
        program,
        environment={},
        deadline=Deadline.after(60),
        on_line=lambda *_: None,
    )
    words = "cd /kselftest/net/net/forwarding && exec /kselftest/net/.launch './a b.sh'"
    assert session.commands[0] == words
    place = tmp_path / "net/forwarding"
    place.mkdir(parents=True)
    (place / "a b.sh").write_bytes(b"\x7fELF")
    (tmp_path / ".launch").touch()
    # Because of what its script finds beside its folder, the whole suite goes.
    files = guest_program.files(BuiltSuite("net", tmp_path, (program,)), program)
    assert [path.name for path in files] == [".launch", "net"]
