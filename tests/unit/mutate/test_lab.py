from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.fake_kernels import WARNING
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Outcome, RawRun, Status, TestProgram
from toolkit.mutate.lab import MutantLab, failed_so_far, with_limits
from toolkit.testing import guest_program
from toolkit.vm.factory import BootedGuest

if TYPE_CHECKING:
    from toolkit.vm.factory import MachineFactory
    from toolkit.vm.machine import Machine
    from toolkit.vm.snapshot import Snapshot
    from toolkit.vm.ssh import GuestSession

PROGRAM = TestProgram("kvm", "a", 45.0)


def test_a_case_that_failed_is_known_while_the_program_still_runs() -> None:
    lines = ["TAP version 13", "1..3", "ok 1 one", "not ok 2 two"]
    [leaf] = failed_so_far(PROGRAM, lines, [])
    assert leaf.id == "kvm/a/two"


def test_what_is_expected_to_fail_ends_nothing() -> None:
    lines = ["TAP version 13", "1..3", "ok 1 one", "not ok 2 two"]
    assert not failed_so_far(PROGRAM, lines, [KnownFailure("kvm/a/two", "why")])


def test_what_has_not_come_yet_has_not_failed() -> None:
    assert not failed_so_far(PROGRAM, ["TAP version 13", "1..3", "ok 1 one"], [])
    assert not failed_so_far(PROGRAM, [], [])


def test_a_hang_is_waited_for_as_long_as_the_program_takes_several_times() -> None:
    programs = {"kvm/a": PROGRAM, "kvm/b": TestProgram("kvm", "b", 45.0)}
    limited = with_limits(programs, {"kvm/a": 2.0, "kvm/b": 30.0})
    assert limited["kvm/a"].timeout == 10.0
    assert limited["kvm/b"].timeout == 45.0
    assert with_limits(programs, {"kvm/a": 0.1})["kvm/a"].timeout == 6.0
    assert with_limits(programs, {})["kvm/b"].timeout == 45.0


# --- machines ------------------------------------------------------------------------------


@dataclass
class Factory:
    """Makes machines that fail as ``raises`` says, one way for each time."""

    kernel: KernelBuild
    raises: list[Exception]
    made: list[str]

    @contextlib.contextmanager
    def loaded(self, folder: Path, saved: Snapshot, deadline: Deadline) -> Iterator[BootedGuest]:
        yield from self._make("loaded", folder)

    @contextlib.contextmanager
    def booted(self, folder: Path, deadline: Deadline) -> Iterator[BootedGuest]:
        yield from self._make("booted", folder)

    def _make(self, how: str, folder: Path) -> Iterator[BootedGuest]:
        assert folder.is_dir()
        self.made.append(how)
        if self.raises:
            raise self.raises.pop(0)
        yield BootedGuest(cast("Machine", self), cast("GuestSession", None), (WARNING,))

    def settle(self) -> None:
        pass

    def kernel_ended(self) -> bool:
        return True

    def dead(self) -> str:
        return "the kernel ended with: BUG"


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBuild:
    (tmp_path / "config").write_text("CONFIG_KVM=m\n")
    config = tmp_path / "config"
    return KernelBuild(tmp_path, "k", "6.12", config, "digest", None, tmp_path, config)


@pytest.fixture
def lab(tmp_path: Path, kernel: KernelBuild) -> MutantLab:
    (tmp_path / "suite").mkdir()
    return MutantLab(
        factory=cast("MachineFactory", Factory(kernel, [], [])),
        saved=cast("Snapshot", tmp_path),
        folder=tmp_path / "machines",
        suites=[BuiltSuite("kvm", tmp_path / "suite", (PROGRAM,))],
        programs={"kvm/a": PROGRAM},
        environment={},
        known=[],
        boot_splats=(),
        deadline=Deadline.after(60).cancellable(),
    )


def factory(lab: MutantLab) -> Factory:
    return cast("Factory", lab.factory)


def raw(**changes: Any) -> RawRun:
    text = "TAP version 13\n1..1\nok 1 one\n"
    given = RawRun("kvm", "a", Outcome.COMPLETED, 0, None, text, "", 0.1)
    return replace(given, **changes)


def does(monkeypatch: pytest.MonkeyPatch, what: Callable[..., RawRun]) -> None:
    monkeypatch.setattr(guest_program, "install", lambda *_: None)
    monkeypatch.setattr(guest_program, "run_program", what)


def test_a_mutant_of_a_module_is_restored_and_one_of_the_kernel_booted(
    lab: MutantLab, kernel: KernelBuild
) -> None:
    with lab.machine(kernel):
        assert len(list(lab.folder.iterdir())) == 1
    with lab.machine(replace(kernel, image_digest="another")):
        pass
    assert factory(lab).made == ["loaded", "booted"]
    assert not list(lab.folder.iterdir())


def test_modules_that_do_not_load_are_the_mutants_fault(
    lab: MutantLab, kernel: KernelBuild
) -> None:
    refused = InfrastructureError("`modprobe` failed", detail=["modprobe: Invalid argument"])
    factory(lab).raises.append(refused)
    words = "do not load: modprobe: Invalid argument"
    with pytest.raises(BootError, match=words), lab.machine(kernel):
        pass


def test_a_machine_that_does_not_come_in_time_is_made_once_more(
    lab: MutantLab, kernel: KernelBuild
) -> None:
    factory(lab).raises.append(DeadlineError("restoring", 90))
    with lab.machine(kernel):
        pass
    factory(lab).raises.extend([DeadlineError("loading", 90)] * 2)
    with pytest.raises(BootError, match="hangs while it boots or loads"), lab.machine(kernel):
        pass


def test_a_machine_that_the_host_loses_says_nothing_of_a_mutant(
    lab: MutantLab, kernel: KernelBuild
) -> None:
    factory(lab).raises.append(MachineLostError("QEMU was killed"))
    with pytest.raises(MachineLostError), lab.machine(kernel):
        pass


def test_what_the_kernel_complains_of_without_a_mutant_is_no_kill(
    lab: MutantLab, kernel: KernelBuild
) -> None:
    with lab.machine(kernel) as machine:
        assert [leaf.id for leaf in machine.boot] == ["boot/dmesg"]
    lab.boot_splats = (WARNING,)
    with lab.machine(kernel) as machine:
        assert not machine.boot


def test_a_program_is_judged_as_in_any_run(
    lab: MutantLab, kernel: KernelBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    does(monkeypatch, lambda *_, **__: raw(splats=(WARNING, replace(WARNING, line=9))))
    with lab.machine(kernel) as machine:
        leaves = {leaf.id: leaf.status for leaf in machine.run("kvm/a")}
    assert leaves == {"kvm/a/one": Status.PASS, "kvm/a/dmesg": Status.FAIL}
    does(monkeypatch, lambda *_, **__: raw(splats=(WARNING,)))  # from before the program
    with lab.machine(kernel) as machine:
        assert [leaf.id for leaf in machine.run("kvm/a")] == ["kvm/a/one"]


def test_a_program_ends_with_its_first_case_that_fails(
    lab: MutantLab, kernel: KernelBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, on_line: Callable[[TestProgram, str], None], **__: Any) -> RawRun:
        cases = ("ok 1 one", "not ok 2 two # SKIP x", "not ok 3 three")
        for line in ("TAP version 13", "1..3", *cases):
            on_line(PROGRAM, line)
        raise AssertionError("it went on")

    does(monkeypatch, run)
    with lab.machine(kernel) as machine:
        assert [leaf.id for leaf in machine.run("kvm/a")] == ["kvm/a/three"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeadlineError("install", 9), Status.TIMEOUT),
        (MachineLostError("gone"), Status.CRASH),
        (InfrastructureError("no fork", detail=["sh: out of memory"]), Status.CRASH),
    ],
)
def test_a_guest_that_breaks_is_a_kill(
    lab: MutantLab,
    kernel: KernelBuild,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: Status,
) -> None:
    def run(*_: Any, **__: Any) -> RawRun:
        raise error

    does(monkeypatch, run)
    with lab.machine(kernel) as machine:
        assert [leaf.status for leaf in machine.run("kvm/a")] == [status]


def test_a_program_that_an_interrupt_ends_has_killed_nothing(
    lab: MutantLab, kernel: KernelBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> RawRun:
        lab.deadline.cancel()
        return raw(outcome=Outcome.TIMED_OUT, exit_status=None)

    does(monkeypatch, run)
    with lab.machine(kernel) as machine, pytest.raises(DeadlineError):
        machine.run("kvm/a")
