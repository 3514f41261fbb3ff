"""A run's programs on machines that only pretend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, MachineLostError, UserError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, Leaf, Outcome, RawRun, TestProgram
from toolkit.core.observer import Silent
from toolkit.testing import guest_program
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.runner import Runner
from toolkit.testing.scheduler import Isolation
from toolkit.testing.tested import Tested
from toolkit.vm.factory import BootedGuest

OOPS = Splat("oops", "Oops: 0002", "Oops: 0002 …", fatal=False, line=9)
NAMES = ("a_test", "b_test", "c_test")


class FakePool:
    """Lends machines that are nothing; ``complaints`` are known once the kernel has booted."""

    def __init__(self, folder: Path) -> None:
        config = folder / "config"
        config.write_text("CONFIG_KVM=m\n")
        self.kernel = KernelBuild(folder, "key", "6.12", folder, "", None, folder, config)
        self.made_of = "one kernel"
        self.lent = 0
        self.complaints: tuple[Splat, ...] = ()
        self.late: tuple[Splat, ...] = ()  # seen when the pool is no longer in use
        self.of_each_boot: tuple[Splat, ...] = ()  # on the console of each machine
        self.boot_splats: tuple[Splat, ...] = ()

    def start(self) -> None:
        self.boot_splats = self.complaints

    prepare = learn_boot = start

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        yield
        self.boot_splats += self.late

    def capacity(self) -> int:
        return 2

    def identity(self) -> str:
        return self.made_of

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[BootedGuest]:
        self.lent += 1
        yield BootedGuest(cast("Any", None), cast("Any", None), self.of_each_boot)


class Listener(Silent):
    def __init__(self) -> None:
        self.leaves: list[Leaf] = []

    def test_finished(self, leaf: Leaf) -> None:
        self.leaves.append(leaf)


class Bench:
    """A runner, and what its programs do."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "run"
        self.suite = tmp_path / "suite"
        self.suite.mkdir()
        for name in NAMES:
            (self.suite / name).write_bytes(b"\x7fELF" + name.encode())
        self.pool = FakePool(tmp_path)
        self.observer = Listener()
        self.ran: list[str] = []
        self.gives: dict[str, dict[str, Any]] = {}
        self.cases: dict[str, dict[str, Any]] = {}  # the same for a case that runs alone
        self.result_cache: ResultCache | None = None
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

    def runner(self, known: tuple[KnownFailure, ...] = ()) -> Runner:
        programs = tuple(TestProgram("kvm", name, 30.0) for name in NAMES)
        return Runner(
            pool=self.pool,
            suites=(BuiltSuite("kvm", self.suite, programs),),
            folder=self.folder,
            observer=self.observer,
            deadline=Deadline.after(60),
            environment={},
            known=known,
            isolation=Isolation.PROGRAM,
            machines=0,
            result_cache=self.result_cache,
        )

    def run(self, **options: Any) -> Tested:
        """Run all programs as a run does."""
        runner = self.runner(**options)
        self.ran.clear()
        self.pool.boot_splats = ()
        self.observer.leaves.clear()
        with self.pool.in_use():
            runner.run(runner.select(()))
        return runner.finish()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def ids(leaves: Sequence[Leaf]) -> list[str]:
    return [leaf.id for leaf in leaves]


def test_leaves_stand_in_the_suites_order_whichever_ended_first(bench: Bench) -> None:
    made = bench.run()
    assert ids(made.leaves) == [f"kvm/{name}/fine" for name in NAMES]
    assert bench.pool.lent == 3
    assert (bench.folder / "tests/kvm/a_test.log").read_text().endswith("ok 1 fine\n")
    assert (bench.folder / "tests/kvm/a_test.console.log").read_text() == "said"


def test_what_takes_longest_begins_first_and_the_unknown_before_it(bench: Bench) -> None:
    made = bench.runner()
    made.machines = 1
    made.took = {"kvm/a_test": 0.5, "kvm/c_test": 3.0}
    tested = made.run(made.select(()))
    assert bench.ran == ["b_test", "c_test", "a_test"]
    assert ids(tested.leaves) == [f"kvm/{name}/fine" for name in NAMES]


def test_what_the_series_changes_begins_first(bench: Bench) -> None:
    made = bench.runner()
    made.machines = 1
    made.took = {"kvm/a_test": 0.5, "kvm/b_test": 2.0, "kvm/c_test": 3.0}
    programs = [replace(each, touched=each.name == "a_test") for each in made.select(())]
    made.run(programs)
    assert bench.ran == ["a_test", "c_test", "b_test"]


def test_what_was_bad_last_time_begins_before_all_else(bench: Bench) -> None:
    made = bench.runner()
    made.machines = 1
    made.took = {"kvm/a_test": 0.5, "kvm/b_test": 2.0, "kvm/c_test": 3.0}
    made.failed = {"kvm/a_test"}
    programs = [replace(each, touched=each.name == "b_test") for each in made.select(())]
    tested = made.run(programs)
    assert bench.ran == ["a_test", "b_test", "c_test"]
    assert ids(tested.leaves) == [f"kvm/{name}/fine" for name in NAMES]


def test_each_case_has_a_machine_and_the_program_its_leaves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"a_test": ("f.one", "f.two"), "c_test": ("g.alone",)}
    monkeypatch.setattr(
        guest_program, "cases", lambda _, __, program, ___: listed.get(program.name)
    )
    bench.cases["f.two"] = {"outcome": Outcome.TIMED_OUT, "stdout": "TAP version 13\n1..1\n"}
    made = bench.runner()
    made.isolation = Isolation.CASE
    tested = made.run(made.select(()))
    assert tested.recalled == 0
    assert sorted(bench.ran) == ["a_test", "a_test", "b_test", "c_test"]
    assert bench.pool.lent == 1 + 4  # one to ask them all
    statuses = {leaf.id: leaf.status.value for leaf in tested.leaves}
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
    bench.result_cache = ResultCache()
    for known in (0, 12):
        made = bench.runner()
        made.isolation, made.repeat = Isolation.CASE, 2
        tested = made.run(made.select(()))
        made.finish()
        assert tested.recalled == known
        assert [len(seen) for seen in tested.observed.values()] == [2, 2, 2]
        assert all(len(each) == 2 for seen in tested.observed.values() for each in seen)
        assert len(tested.leaves) == 6


def test_on_one_machine_programs_keep_their_order(bench: Bench) -> None:
    made = bench.runner()
    made.isolation = Isolation.SUITE
    made.took = {"kvm/c_test": 3.0, "kvm/b_test": 2.0, "kvm/a_test": 1.0}
    made.run(made.select(()))
    assert bench.ran == list(NAMES)


def test_globs_choose_programs(bench: Bench) -> None:
    made = bench.runner()
    assert [each.name for each in made.select(("a*", "c_test"))] == ["a_test", "c_test"]
    with pytest.raises(UserError, match="'z'") as caught:
        made.select(("a*", "z"))
    assert "b_test" in caught.value.hint


def test_shards_are_dealt_all_programs_once(bench: Bench) -> None:
    made = bench.runner()
    dealt = [[each.name for each in made.select((), (number, 2))] for number in (1, 2)]
    assert dealt == [["a_test", "c_test"], ["b_test"]]
    assert [each.name for each in made.select(("[bc]*",), (2, 2))] == ["c_test"]
    with pytest.raises(UserError, match="shard 4 of 4 has no program: there are 3") as caught:
        made.select((), (4, 4))
    assert "at most 3 shards" in caught.value.hint


def test_a_splat_says_during_what_it_came(bench: Bench) -> None:
    bench.gives["b_test"] = {"splats": (OOPS,)}
    made = bench.run()
    assert [splat.during for splat in made.splats] == ["kvm/b_test"]
    assert "kvm/b_test/dmesg" in ids(made.leaves)


def test_what_was_judged_before_a_machine_was_lost_stands(bench: Bench) -> None:
    bench.gives["c_test"] = {"raises": MachineLostError("gone")}
    made = bench.runner()
    made.machines = 1
    with pytest.raises(MachineLostError):
        made.run(made.select(()))
    assert ids(made.tested.leaves) == ["kvm/a_test/fine", "kvm/b_test/fine"]


def test_kmemleak_is_asked_only_where_the_kernel_has_it(bench: Bench) -> None:
    bench.run()
    assert bench.options["leaks"] is False
    bench.pool.kernel.config.write_text("CONFIG_DEBUG_KMEMLEAK=y\n")
    bench.run()
    assert bench.options["leaks"] is True


def test_a_result_stands_until_something_it_came_from_changes(bench: Bench) -> None:
    bench.result_cache = ResultCache()
    bench.run()
    made = bench.run()
    assert (bench.ran, made.recalled) == ([], 3)
    assert ids(made.leaves) == [f"kvm/{name}/fine" for name in NAMES]
    (bench.suite / "b_test").write_bytes(b"\x7fELF edited")
    assert bench.run().recalled == 2
    assert bench.ran == ["b_test"]
    (bench.suite / "data").write_text("what every program may read")
    assert bench.run().recalled == 0
    bench.pool.made_of = "another kernel"
    assert bench.run().recalled == 0


def test_a_program_that_did_not_end_by_itself_runs_again(bench: Bench) -> None:
    bench.result_cache = ResultCache()
    bench.gives["b_test"] = {"outcome": Outcome.TIMED_OUT, "exit_status": None}
    bench.run()
    assert bench.run().recalled == 2
    assert bench.ran == ["b_test"]


def test_what_stands_is_judged_anew(bench: Bench) -> None:
    bench.result_cache = ResultCache()
    bench.gives["a_test"] = {"stdout": "TAP version 13\n1..1\nnot ok 1 fine\n"}
    made = bench.run()
    assert made.leaves[0].status == "fail"
    made = bench.run(known=(KnownFailure("kvm/a_test/*", "known by now"),))
    assert made.recalled == 3
    assert made.leaves[0].status == "xfail"


def test_what_cannot_work_is_not_started_unless_it_is_named(bench: Bench) -> None:
    listed = KnownFailure("kvm/[ab]_test", "needs VMX", certain=False, start=False)
    made = bench.run(known=(listed,))
    assert bench.ran == ["c_test"]
    assert [(leaf.id, leaf.message) for leaf in made.leaves] == [
        ("kvm/a_test", "not run: needs VMX"),
        ("kvm/b_test", "not run: needs VMX"),
        ("kvm/c_test/fine", ""),
    ]
    runner = bench.runner(known=(listed,))
    runner.named = ("b_test", "a*")
    bench.ran.clear()
    runner.run(runner.select(runner.named))
    assert bench.ran == ["b_test"]


def test_what_does_not_build_costs_no_machine(bench: Bench) -> None:
    made = bench.runner()
    programs = [replace(each, unbuilt="no libcap") for each in made.select(())]
    (bench.suite / "a_test").unlink()
    made.named = NAMES
    tested = made.run([programs[0], *made.select(("c_test",))])
    assert [(leaf.id, leaf.status) for leaf in tested.leaves] == [
        ("kvm/a_test", "error"),
        ("kvm/c_test/fine", "pass"),
    ]
    assert bench.pool.lent == 1


# --- what the kernel complained of while booting -------------------------------------------


def test_a_kernel_that_complains_while_booting_has_a_leaf_before_the_programs(
    bench: Bench,
) -> None:
    bench.pool.complaints = (OOPS,)
    tested = bench.run()
    assert ids(tested.leaves) == ["boot/dmesg", *(f"kvm/{name}/fine" for name in NAMES)]
    assert [splat.during for splat in tested.splats] == ["boot"]
    assert ids(bench.observer.leaves)[0] == "boot/dmesg"


@pytest.mark.parametrize("attribute", ["complaints", "late"])
def test_results_from_the_cache_do_not_hide_what_the_boot_showed(
    bench: Bench, attribute: str
) -> None:
    setattr(bench.pool, attribute, (OOPS,))
    bench.result_cache = ResultCache()
    first = bench.run()
    setattr(bench.pool, attribute, ())  # no machine is asked
    second = bench.run()
    assert bench.ran == []
    assert second.leaves == first.leaves
    assert second.splats == first.splats
    assert ids(bench.observer.leaves).count("boot/dmesg") == 1


def test_a_boot_that_no_cache_knows_of_is_asked_for(bench: Bench) -> None:
    bench.result_cache = ResultCache()
    made = bench.runner()
    made.run(made.select(()))  # and ended before it was finished
    bench.pool.complaints = (OOPS,)
    assert ids(bench.run().leaves)[0] == "boot/dmesg"
    assert bench.ran == []


def test_what_a_machine_showed_while_booting_is_no_program_s_fault(bench: Bench) -> None:
    bench.pool.complaints = bench.pool.of_each_boot = (OOPS,)
    later = replace(OOPS, line=OOPS.line + 1)
    for name in NAMES:
        bench.gives[name] = {"splats": (OOPS, later) if name == "b_test" else (OOPS,)}
    tested = bench.run()
    assert [each for each in ids(tested.leaves) if each.endswith("dmesg")] == [
        "boot/dmesg",
        "kvm/b_test/dmesg",
    ]
    assert [splat.line for splat in tested.program_splats] == [later.line]


def test_a_guest_whose_tools_a_program_removed_is_replaced_for_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [False, True, False, False]

    def install(*_: Any) -> None:
        if refusals.pop(0):
            raise InfrastructureError("`tar` failed in the guest with exit status 127")

    monkeypatch.setattr(guest_program, "install", install)
    runner = bench.runner()
    runner.isolation, runner.machines = Isolation.SUITE, 1
    tested = runner.run(runner.select(()))
    assert ids(tested.leaves) == [f"kvm/{name}/fine" for name in NAMES]
    assert bench.pool.lent == 2
    refusals[:] = [True]
    with pytest.raises(InfrastructureError, match="`tar` failed"):
        runner.run(runner.select(()))
