from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, DeadlineError
from toolkit.core.model.machine import Splat
from toolkit.core.observer import Silent
from toolkit.core.stages import StageLog
from toolkit.host.cache import Cache
from toolkit.vm import snapshot
from toolkit.vm.factory import BootedGuest, CannotSaveError, merged
from toolkit.vm.pool import MachinePool
from toolkit.vm.snapshot import Snapshot

OOPS = Splat("warning", "WARNING: kvm.c:1", "", fatal=False, line=1)


class Notes(Silent):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Vm:
    """A machine that only tells where it came from."""

    def __init__(self, made: str, splats: tuple[Splat, ...]) -> None:
        self.made = made
        self._splats = splats

    def splats(self) -> tuple[Splat, ...]:
        return self._splats

    def dead(self) -> str:
        return ""

    def console(self) -> str:
        return f"{self.made}\n"


class FakeFactory:
    """Makes machines of nothing, and says what it did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.alive = 0
        self.keys = "booted", "loaded"
        self.kernel = SimpleNamespace(release="6.12.1")
        self.splats: dict[str, tuple[Splat, ...]] = {}  # by what is done
        self.raises: dict[str, Exception] = {}
        self.why_not = ""
        self.go_on = threading.Event()  # saving with modules waits for it
        self.go_on.set()
        self.lock = threading.Lock()

    def cannot_save(self) -> str:
        return self.why_not

    def cache_keys(self) -> tuple[str, str]:
        return self.keys

    def note(self, what: str) -> None:
        with self.lock:
            self.did.append(what)
        if what in self.raises:
            raise self.raises[what]

    def _seal(self, into: Path, what: str, before: tuple[Splat, ...] = ()) -> None:
        for name in (snapshot.MEMORY, snapshot.STATE, snapshot.CONSOLE):
            (into / name).write_text(f"{what}\n")
        snapshot.seal(into, merged(before, self.splats.get(what, ())))

    def save_booted(self, into: Path, own: Path, deadline: Deadline) -> None:
        self.note("save booted")
        self._seal(into, "save booted")

    def save_loaded(
        self,
        base: Snapshot,
        into: Path,
        own: Path,
        deadline: Deadline,
        seen: tuple[Splat, ...] = (),
    ) -> None:
        self.note("save loaded")
        while not self.go_on.wait(0.01):
            deadline.check("saving")
        self._seal(into, "save loaded", (*base.splats, *seen))

    @contextlib.contextmanager
    def _machine(self, what: str) -> Iterator[Any]:
        self.note(what)
        with self.lock:
            self.alive += 1
        try:
            vm = Vm(what, self.splats.get(what, ()))
            before = () if what.startswith("restore") else vm.splats()
            yield BootedGuest(cast("Any", vm), cast("Any", None), before)
        finally:
            with self.lock:
                self.alive -= 1

    def loaded(self, folder: Path, base: Snapshot, deadline: Deadline) -> Any:
        return self._machine("load")

    def restored(self, folder: Path, saved: Snapshot, deadline: Deadline) -> Any:
        return self._machine(f"restore {saved.path.name}")

    def booted(self, folder: Path, deadline: Deadline) -> Any:
        return self._machine("boot")

    def with_modules(self, guest: BootedGuest, deadline: Deadline) -> BootedGuest:
        self.note("load into one that waited")
        return guest


class Waiting:
    """Has a machine for the next run, if it was told to."""

    def __init__(self, factory: FakeFactory) -> None:
        self.factory = factory
        self.found: Snapshot | None = None

    def restock(self, factory: Any, find: Callable[[], Snapshot | None]) -> None:
        assert factory is self.factory
        self.found = find()

    def take(self, key: str, evidence: Path, deadline: Deadline) -> Any:
        assert evidence.is_dir()
        if self.found is None or self.found.path.name != key:
            return None
        stack = contextlib.ExitStack()
        return stack, stack.enter_context(self.factory._machine("wait"))


def made(guest: BootedGuest) -> str:
    """Return how a machine was made."""
    vm: Any = guest.machine
    return str(vm.made)


class Bench:
    def __init__(self, tmp_path: Path, factory: FakeFactory) -> None:
        self.factory = factory
        self.folder = tmp_path
        self.notes = Notes()
        self.stages = StageLog(self.notes)
        self.complaints: tuple[Splat, ...] = ()

    def pool(self, **more: Any) -> MachinePool:
        folder = self.folder / "run"
        folder.mkdir(exist_ok=True)
        self.stages = StageLog(self.notes)
        self.factory.did.clear()
        return MachinePool(
            factory=self.factory,  # type: ignore[arg-type]
            cache=Cache(self.folder / "cache"),
            folder=folder,
            observer=self.notes,
            deadline=soon(),
            stages=self.stages,
            **more,
        )

    def in_haste(self, count: int = 2, **more: Any) -> list[str]:
        """Use so many machines one after the other, and return how each was made."""
        used = []
        pool = self.pool(**more)
        with pool.in_use():
            pool.start()
            for _ in range(count):
                with pool.boot() as guest:
                    used.append(made(guest))
        assert not self.factory.alive
        self.complaints = pool.boot_splats
        return used

    def found(self) -> dict[str, bool]:
        return {stage.name: stage.cached for stage in self.stages.records}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(MachinePool, "_write_script", lambda *_: None)
    return Bench(tmp_path, FakeFactory())


def test_the_first_machine_gets_the_modules_and_the_others_are_restored(bench: Bench) -> None:
    assert bench.in_haste(3) == ["load", "restore loaded", "restore loaded"]
    assert bench.found() == {"boot": False, "modules": False}
    assert (bench.folder / "run/console.log").read_text() == "save booted\nload\n"
    assert bench.in_haste(2) == ["restore loaded", "restore loaded"]
    assert bench.found() == {"boot": True, "modules": True}
    assert (bench.folder / "run/console.log").read_text() == "save loaded\n"
    assert not list((bench.folder / "run/machines").iterdir())


def test_the_first_machine_works_while_another_is_saved(bench: Bench) -> None:
    bench.factory.go_on.clear()
    pool = bench.pool()
    with pool.in_use():
        pool.start()
        with pool.boot():
            assert not bench.folder.joinpath("cache/snapshot/loaded").exists()
            bench.factory.go_on.set()
            with pool.boot() as second:
                assert made(second) == "restore loaded"


@pytest.mark.parametrize("count", [0, 1])
def test_a_machine_is_saved_even_if_nobody_needs_it_now(bench: Bench, count: int) -> None:
    bench.in_haste(count)
    assert bench.in_haste(1) == ["restore loaded"]


def test_the_first_machine_of_the_next_run_may_have_waited_for_it(bench: Bench) -> None:
    waiting = Waiting(bench.factory)
    assert bench.in_haste(2, standby=waiting) == ["load", "restore loaded"]
    bench.factory.keys = "booted", "edited"
    assert bench.in_haste(2, standby=waiting) == ["wait", "restore edited"]
    assert bench.factory.did.count("load into one that waited") == 1
    assert "load" not in bench.factory.did
    assert bench.in_haste(2, standby=waiting) == ["restore edited", "restore edited"]
    bench.factory.keys = "other", "another"
    assert bench.in_haste(1, standby=waiting) == ["load"], "it has another kernel"


def test_a_kernel_without_modules_has_nothing_to_wait_for(bench: Bench) -> None:
    bench.factory.keys = "booted", "booted"
    waiting = Waiting(bench.factory)
    bench.in_haste(1, standby=waiting)
    assert waiting.found is None


def test_who_prepares_gets_no_machine_ahead(bench: Bench) -> None:
    pool = bench.pool()
    pool.prepare()
    assert bench.factory.did == ["save booted", "save loaded"]
    with pool.boot() as guest:
        assert made(guest) == "restore loaded"


def test_a_kernel_without_modules_has_one_saved_machine(bench: Bench) -> None:
    bench.factory.keys = "booted", "booted"
    assert bench.in_haste(1) == ["restore booted"]
    assert bench.found() == {"boot": False}


def test_what_a_kernel_says_of_new_modules_is_not_the_first_program_s(bench: Bench) -> None:
    bench.factory.splats = {"load": (OOPS,), "save loaded": (OOPS,)}
    for _ in range(2):
        assert bench.in_haste(1) == ["restore loaded"]
        assert bench.complaints == (OOPS,)


@pytest.mark.parametrize("when", ["load", "save loaded"])
def test_what_it_says_only_now_and_then_is_not_lost(bench: Bench, when: str) -> None:
    bench.factory.splats = {when: (OOPS,)}
    bench.in_haste(1)
    assert bench.complaints == (OOPS,)
    bench.factory.splats = {}  # the saved machine keeps it for every run that uses it
    assert bench.in_haste(1) == ["restore loaded"]
    assert bench.complaints == (OOPS,)


def test_a_kernel_that_complains_while_booting_gives_nobody_a_machine_ahead(bench: Bench) -> None:
    bench.factory.splats = {"save booted": (OOPS,)}
    assert bench.in_haste(1) == ["restore loaded"]
    assert bench.complaints == (OOPS,)


def test_where_machines_with_modules_cannot_be_saved_each_is_booted(bench: Bench) -> None:
    bench.factory.raises = {"save loaded": CannotSaveError("no")}
    assert bench.in_haste(3) == ["load", "boot", "boot"]
    assert bench.notes.notices == ["each machine is booted: no"]


def test_where_no_machine_can_be_saved_each_is_booted(bench: Bench) -> None:
    bench.factory.raises = {"save booted": CannotSaveError("no")}
    assert bench.in_haste(2) == ["boot", "boot"]
    assert bench.notes.notices == ["each machine is booted: no"]


@pytest.mark.parametrize("count", [1, 2])
def test_modules_that_kill_the_kernel_only_now_and_then(bench: Bench, count: int) -> None:
    bench.factory.raises = {"save loaded": BootError("died")}
    with pytest.raises(BootError, match="died"):
        bench.in_haste(count)
    assert not bench.factory.alive


def test_modules_that_kill_the_kernel(bench: Bench) -> None:
    bench.factory.raises = {"load": BootError("died")}
    with pytest.raises(BootError, match="died"):
        bench.in_haste(1)


def test_an_end_before_its_time_stops_what_goes_on_behind(bench: Bench) -> None:
    bench.factory.go_on.clear()
    pool = bench.pool()
    with pytest.raises(KeyboardInterrupt), pool.in_use():
        pool.start()
        raise KeyboardInterrupt
    assert not bench.factory.alive
    assert not [thread for thread in threading.enumerate() if thread.name == "saving"]
    assert not list((bench.folder / "cache/snapshot").glob("*loaded*/memory"))


def test_who_waits_for_a_machine_waits_no_longer_than_allowed(bench: Bench) -> None:
    bench.factory.go_on.clear()
    pool = bench.pool()
    with pytest.raises(DeadlineError), pool.in_use():
        pool.start()
        with pool.boot(), pool.boot(Deadline.after(0.1)):
            pass


def test_where_the_architecture_has_no_saved_machines_each_is_booted(bench: Bench) -> None:
    bench.factory.why_not = "no vmgenid"
    with bench.pool().boot() as guest:
        assert made(guest) == "boot"
    assert bench.factory.did == ["boot"]
    assert bench.notes.notices == ["each machine is booted: no vmgenid"]


def test_without_saved_machines_each_is_booted(bench: Bench) -> None:
    pool = bench.pool(snapshots=False)
    with pool.in_use():
        pool.start()
        with pool.boot() as guest:
            assert made(guest) == "boot"
    assert bench.found() == {}


def test_a_machine_that_is_booted_each_time_shows_what_its_kernel_complained_of(
    bench: Bench,
) -> None:
    bench.factory.splats = {"boot": (OOPS,)}
    pool = bench.pool(snapshots=False)
    with pool.in_use():
        pool.start()
        assert not pool.boot_splats
        for _ in range(2):
            with pool.boot() as guest:
                assert guest.boot_splats == (OOPS,)
    assert pool.boot_splats == (OOPS,)


def test_what_an_earlier_run_left_of_its_machines_stays(bench: Bench) -> None:
    for number in (1, 3):
        left = bench.folder / f"run/machines/{number}"
        left.mkdir(parents=True)
        (left / "console.log").write_text("panic")
    assert bench.in_haste(3) == ["load", "restore loaded", "restore loaded"]
    assert sorted(each.name for each in (bench.folder / "run/machines").iterdir()) == ["1", "3"]


@pytest.mark.parametrize(
    ("snapshots", "did"), [(True, ["save booted", "save loaded"]), (False, ["boot"])]
)
def test_what_a_boot_shows_can_be_learned_without_a_program(
    bench: Bench, snapshots: bool, did: list[str]
) -> None:
    bench.factory.splats = {"save booted": (OOPS,), "boot": (OOPS,)}
    pool = bench.pool(snapshots=snapshots)
    with pool.in_use():
        pool.learn_boot()
        assert pool.boot_splats == (OOPS,)
    assert bench.factory.did == did
