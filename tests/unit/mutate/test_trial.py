"""Which test notices a mutant, on machines that only pretend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from toolkit.core.errors import BootError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.mutation import Fate, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.mutate.trial import Trial, first_bad

KERNEL = cast("KernelBuild", Path("kernel"))
PROGRAMS = ["kvm/a", "kvm/b", "kvm/c"]


@dataclass
class Pretended:
    """A lab whose programs do what ``gives`` says: statuses, one for each time that they run.

    The last one is for all that follow. ``only_after`` has a program that fails where another one
    has run on the same machine.
    """

    gives: Mapping[str, str] = field(default_factory=dict)
    only_after: Mapping[str, str] = field(default_factory=dict)
    boots: str = ""
    ran: list[list[str]] = field(default_factory=list)  # by machine
    open: int = 0

    @contextlib.contextmanager
    def machine(self, kernel: KernelBuild) -> Iterator[Pretended]:
        assert not self.open, "a trial has one machine at a time"
        if self.boots == "no":
            raise BootError("the kernel panicked")
        self.ran.append([])
        self.open += 1
        yield self
        self.open -= 1

    @property
    def boot(self) -> tuple[Leaf, ...]:
        return (Leaf("boot/dmesg", Status.FAIL, "WARNING"),) if self.boots == "loud" else ()

    def run(self, program: str) -> tuple[Leaf, ...]:
        before = self.ran[-1]
        times = sum(each.count(program) for each in self.ran)
        words = self.gives.get(program, "pass").split()
        word = words[min(times, len(words) - 1)]
        if self.only_after.get(program) in before:
            word = "fail"
        before.append(program)
        return (Leaf(f"{program}/case", Status(word), f"it is a {word}"),)


def tried(lab: Pretended, *flaky: str) -> Verdict:
    verdict = Trial(lab, PROGRAMS, lambda leaf: leaf in flaky).of(KERNEL, PROGRAMS)
    assert not lab.open
    return verdict


def test_the_first_kill_ends_the_run() -> None:
    lab = Pretended({"kvm/a": "fail"})
    verdict = tried(lab)
    assert (verdict.fate, verdict.by) == (Fate.KILLED, "kvm/a/case")
    assert verdict.why == "fail: it is a fail"
    assert lab.ran == [["kvm/a"]]


def test_what_nobody_notices_survives_on_one_machine() -> None:
    lab = Pretended()
    verdict = tried(lab)
    assert (verdict.fate, verdict.passed) == (Fate.SURVIVED, tuple(PROGRAMS))
    assert lab.ran == [PROGRAMS]


def test_without_a_program_that_runs_the_line_no_machine_is_started() -> None:
    lab = Pretended()
    assert Trial(lab, PROGRAMS).of(KERNEL, []).fate is Fate.SURVIVED
    assert not lab.ran


def test_a_failure_after_other_programs_has_to_come_again_on_a_fresh_machine() -> None:
    lab = Pretended({"kvm/b": "fail"})
    verdict = tried(lab)
    assert (verdict.fate, verdict.passed) == (Fate.KILLED, ("kvm/a",))
    assert lab.ran == [["kvm/a", "kvm/b"], ["kvm/b"]]


def test_what_only_fails_for_what_another_program_left_is_no_kill() -> None:
    lab = Pretended(only_after={"kvm/b": "kvm/a"})
    verdict = tried(lab)
    assert (verdict.fate, verdict.passed) == (Fate.SURVIVED, tuple(PROGRAMS))
    assert lab.ran == [["kvm/a", "kvm/b"], ["kvm/b", "kvm/c"]]


def test_a_crash_is_a_kill_at_once_and_a_hang_has_to_come_again() -> None:
    crash, hang = Pretended({"kvm/c": "crash"}), Pretended({"kvm/c": "timeout"})
    assert tried(crash).fate is tried(hang).fate is Fate.KILLED
    assert crash.ran == [PROGRAMS]
    assert hang.ran == [PROGRAMS, ["kvm/c"]]
    busy = Pretended({"kvm/a": "timeout pass"})
    assert tried(busy).fate is Fate.SURVIVED
    assert busy.ran == [["kvm/a"], PROGRAMS]


def test_on_the_second_machine_another_failure_counts_if_it_is_beyond_doubt() -> None:
    def twice(second: Leaf) -> Verdict:
        lab = Pretended()
        leaves = iter([(Leaf("kvm/a/one", Status.TIMEOUT),), (second,)])
        lab.run = lambda program: next(leaves, (Leaf(f"{program}/case", Status.PASS),))  # type: ignore[method-assign]
        return tried(lab, "kvm/a/flaky")

    assert twice(Leaf("kvm/a/two", Status.FAIL)).by == "kvm/a/two"
    assert twice(Leaf("kvm/a/two", Status.TIMEOUT)).fate is Fate.SURVIVED
    assert twice(Leaf("kvm/a/flaky", Status.FAIL)).fate is Fate.SURVIVED


def test_a_flaky_case_kills_only_if_it_fails_twice() -> None:
    once = Pretended({"kvm/a": "fail pass"})
    assert tried(once, "kvm/a/case").fate is Fate.SURVIVED
    assert once.ran == [["kvm/a"], ["kvm/a", "kvm/b", "kvm/c"]]
    assert tried(Pretended({"kvm/a": "timeout timeout"}), "kvm/a/case").fate is Fate.KILLED


def test_a_kernel_that_does_not_boot_or_complains_is_a_kill() -> None:
    dead, loud = tried(Pretended(boots="no")), tried(Pretended(boots="loud"))
    assert (dead.fate, dead.by, dead.why) == (Fate.KILLED, "boot", "crash: the kernel panicked")
    assert (loud.fate, loud.by) == (Fate.KILLED, "boot/dmesg")


def test_a_test_that_skips_itself_notices_nothing() -> None:
    verdict = tried(Pretended({"kvm/a": "skip"}))
    assert verdict.fate is Fate.SURVIVED
    assert (verdict.passed, verdict.skipped) == (("kvm/b", "kvm/c"), ("kvm/a",))


def test_where_those_that_run_the_line_all_skip_some_other_has_to_pass() -> None:
    lab = Pretended({"kvm/a": "skip"})
    verdict = Trial(lab, PROGRAMS).of(KERNEL, ["kvm/a"])
    assert (verdict.fate, lab.ran) == (Fate.SURVIVED, [["kvm/a", "kvm/b"]])
    none = Trial(Pretended(dict.fromkeys(PROGRAMS, "skip")), PROGRAMS).of(KERNEL, ["kvm/a"])
    assert (none.fate, none.by) == (Fate.KILLED, "every program")


def test_a_kill_is_named_for_the_case_that_failed() -> None:
    leaves = [
        Leaf("kvm/a", Status.CRASH),
        Leaf("kvm/a/one", Status.PASS),
        Leaf("kvm/a/two", Status.FAIL),
    ]
    assert first_bad(leaves) == leaves[2]
    assert first_bad(leaves[:2]) == leaves[0]
    assert first_bad(leaves[1:2]) is None
