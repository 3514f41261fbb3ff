"""A run's programs on machines that only pretend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import MachineLostError, UserError
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Leaf, Outcome, RawRun, TestProgram
from toolkit.core.observer import Silent
from toolkit.testing import guest_program
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.runner import Runner
from toolkit.testing.scheduler import Isolation

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)
NAMES = ("a_test", "b_test", "c_test")


class FakeTestbed:
    def __init__(self, folder: Path) -> None:
        self.kernel = self
        self.config = folder / "config"
        self.config.write_text("CONFIG_KVM=m\n")
        self.made_of = "one kernel"
        self.lent = 0

    def start(self) -> None:
        pass

    prepare = start

    def room(self) -> int:
        return 2

    def identity(self) -> str:
        return self.made_of

    @contextlib.contextmanager
    def boot(self, deadline: Deadline) -> Iterator[Any]:
        self.lent += 1
        yield None, None


class Bench:
    """A trial, and what its programs do."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "run"
        self.suite = tmp_path / "suite"
        self.suite.mkdir()
        for name in NAMES:
            (self.suite / name).write_bytes(b"\x7fELF" + name.encode())
        self.testbed = FakeTestbed(tmp_path)
        self.ran: list[str] = []
        self.gives: dict[str, dict[str, Any]] = {}
        self.cases: dict[str, dict[str, Any]] = {}  # the same for a case that runs alone
        self.memory: ResultCache | None = None
        monkeypatch.setattr(guest_program, "install", lambda *_: None)
        monkeypatch.setattr(guest_program, "run_program", self.run_program)

    def run_program(self, vm: Any, session: Any, program: TestProgram, **options: Any) -> RawRun:
        self.ran.append(program.name)
        self.options = options
        given = {
            "outcome": Outcome.COMPLETED,
            "exit_status": 0,
            "stdout": "TAP version 13\n1..1\nok 1 fine\n",
            **self.gives.get(program.name, {}),
        }
        if program.case:
            given["stdout"] = f"TAP version 13\n1..1\nok 1 {program.case}\n"
            given |= {"case": program.case, **self.cases.get(program.case, {})}
        if error := given.pop("raises", None):
            raise error
        return RawRun(
            "kvm", program.name, signal=None, stderr="", seconds=0.1, console="said", **given
        )

    def trial(self, known: tuple[KnownFailure, ...] = ()) -> Runner:
        programs = tuple(TestProgram("kvm", name, 30.0) for name in NAMES)
        return Runner(
            testbed=self.testbed,  # type: ignore[arg-type]
            suites=(BuiltSuite("kvm", self.suite, programs),),
            folder=self.folder,
            observer=Silent(),
            deadline=Deadline.after(60),
            environment={},
            known=known,
            isolation=Isolation.PROGRAM,
            machines=0,
            leaves=[],
            splats=[],
            memory=self.memory,
        )

    def run(self, **options: Any) -> tuple[Runner, int]:
        made = self.trial(**options)
        self.ran.clear()
        return made, made.run(made.select(()))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def ids(leaves: list[Leaf]) -> list[str]:
    return [leaf.id for leaf in leaves]


def test_leaves_stand_in_the_suites_order_whichever_ended_first(bench: Bench) -> None:
    made, _ = bench.run()
    assert ids(made.leaves) == [f"kvm/{name}/fine" for name in NAMES]
    assert bench.testbed.lent == 3
    assert (bench.folder / "tests/kvm/a_test.log").read_text().endswith("ok 1 fine\n")
    assert (bench.folder / "tests/kvm/a_test.console.log").read_text() == "said"


def test_what_takes_longest_begins_first_and_the_unknown_before_it(bench: Bench) -> None:
    made = bench.trial()
    made.machines = 1
    made.took = {"kvm/a_test": 0.5, "kvm/c_test": 3.0}
    made.run(made.select(()))
    assert bench.ran == ["b_test", "c_test", "a_test"]
    assert ids(made.leaves) == [f"kvm/{name}/fine" for name in NAMES]


def test_each_case_has_a_machine_and_the_program_its_leaves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"a_test": ("f.one", "f.two"), "c_test": ("g.alone",)}
    monkeypatch.setattr(
        guest_program, "cases", lambda _, __, program, ___: listed.get(program.name)
    )
    bench.cases["f.two"] = {"outcome": Outcome.TIMED_OUT, "stdout": "TAP version 13\n1..1\n"}
    made = bench.trial()
    made.isolation = Isolation.CASE
    assert made.run(made.select(())) == 0
    assert sorted(bench.ran) == ["a_test", "a_test", "b_test", "c_test"]
    assert bench.testbed.lent == 1 + 4  # one to ask them all
    statuses = {leaf.id: leaf.status.value for leaf in made.leaves}
    assert list(statuses) == [
        "kvm/a_test/f.one",
        "kvm/a_test/f.two",
        "kvm/b_test/fine",
        "kvm/c_test/g.alone",
    ]
    assert statuses["kvm/a_test/f.two"] == "timeout"
    assert (bench.folder / "tests/kvm/a_test.log").read_text().count("TAP version") == 2


def test_cases_one_by_one_are_repeated_and_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_program, "cases", lambda *_: ("f.one", "f.two"))
    bench.memory = ResultCache()
    for known in (0, 12):
        made = bench.trial()
        made.isolation, made.repeat = Isolation.CASE, 2
        assert made.run(made.select(())) == known
        assert [len(seen) for seen in made.observed.values()] == [2, 2, 2]
        assert all(len(each) == 2 for seen in made.observed.values() for each in seen)
        assert len(made.leaves) == 6


def test_on_one_machine_programs_keep_their_order(bench: Bench) -> None:
    made = bench.trial()
    made.isolation = Isolation.SUITE
    made.took = {"kvm/c_test": 3.0, "kvm/b_test": 2.0, "kvm/a_test": 1.0}
    made.run(made.select(()))
    assert bench.ran == list(NAMES)


def test_globs_choose_programs(bench: Bench) -> None:
    made = bench.trial()
    assert [each.name for each in made.select(("a*", "c_test"))] == ["a_test", "c_test"]
    with pytest.raises(UserError, match="'z'") as caught:
        made.select(("a*", "z"))
    assert "b_test" in caught.value.hint


def test_a_splat_says_during_what_it_came(bench: Bench) -> None:
    bench.gives["b_test"] = {"splats": (OOPS,)}
    made, _ = bench.run()
    assert [splat.during for splat in made.splats] == ["kvm/b_test"]
    assert "kvm/b_test/dmesg" in ids(made.leaves)


def test_what_was_judged_before_a_machine_was_lost_stands(bench: Bench) -> None:
    bench.gives["c_test"] = {"raises": MachineLostError("gone")}
    made = bench.trial()
    made.machines = 1
    with pytest.raises(MachineLostError):
        made.run(made.select(()))
    assert ids(made.leaves) == ["kvm/a_test/fine", "kvm/b_test/fine"]


def test_kmemleak_is_asked_only_where_the_kernel_has_it(bench: Bench) -> None:
    bench.run()
    assert bench.options["leaks"] is False
    bench.testbed.config.write_text("CONFIG_DEBUG_KMEMLEAK=y\n")
    bench.run()
    assert bench.options["leaks"] is True


def test_a_result_stands_until_something_it_came_from_changes(bench: Bench) -> None:
    bench.memory = ResultCache()
    bench.run()
    made, standing = bench.run()
    assert (bench.ran, standing) == ([], 3)
    assert ids(made.leaves) == [f"kvm/{name}/fine" for name in NAMES]
    (bench.suite / "b_test").write_bytes(b"\x7fELF edited")
    assert bench.run()[1] == 2
    assert bench.ran == ["b_test"]
    (bench.suite / "data").write_text("what every program may read")
    assert bench.run()[1] == 0
    bench.testbed.made_of = "another kernel"
    assert bench.run()[1] == 0


def test_a_program_that_did_not_end_by_itself_runs_again(bench: Bench) -> None:
    bench.memory = ResultCache()
    bench.gives["b_test"] = {"outcome": Outcome.TIMED_OUT, "exit_status": None}
    bench.run()
    assert bench.run()[1] == 2
    assert bench.ran == ["b_test"]


def test_what_stands_is_judged_anew(bench: Bench) -> None:
    bench.memory = ResultCache()
    bench.gives["a_test"] = {"stdout": "TAP version 13\n1..1\nnot ok 1 fine\n"}
    made, _ = bench.run()
    assert made.leaves[0].status == "fail"
    made, standing = bench.run(known=(KnownFailure("kvm/a_test/*", "known by now"),))
    assert standing == 3
    assert made.leaves[0].status == "xfail"


def test_what_cannot_work_is_not_started_unless_it_is_named(bench: Bench) -> None:
    listed = KnownFailure("kvm/[ab]_test", "needs VMX", certain=False, start=False)
    made, _ = bench.run(known=(listed,))
    assert bench.ran == ["c_test"]
    assert [(leaf.id, leaf.message) for leaf in made.leaves] == [
        ("kvm/a_test", "not run: needs VMX"),
        ("kvm/b_test", "not run: needs VMX"),
        ("kvm/c_test/fine", ""),
    ]
    made = bench.trial(known=(listed,))
    made.named = ("b_test", "a*")
    bench.ran.clear()
    made.run(made.select(made.named))
    assert bench.ran == ["b_test"]


def test_what_does_not_build_costs_no_machine(bench: Bench) -> None:
    made = bench.trial()
    programs = [replace(each, unbuilt="no libcap") for each in made.select(())]
    (bench.suite / "a_test").unlink()
    made.named = NAMES
    made.run([programs[0], *made.select(("c_test",))])
    assert [(leaf.id, leaf.status) for leaf in made.leaves] == [
        ("kvm/a_test", "error"),
        ("kvm/c_test/fine", "pass"),
    ]
    assert bench.testbed.lent == 1
