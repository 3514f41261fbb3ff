from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import Timeout

from toolkit.core.deadline import Deadline
from toolkit.host import locks, work_folders
from toolkit.host.locks import Locks
from toolkit.host.work_folders import WorkFolders, Worth

NAME = "work/kernel/key"


def soon() -> Deadline:
    return Deadline.after(20)


class Runs:
    """Several runs on one cache, each with what it hears of its waits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heard: list[str] = []
        self.told = threading.Event()

    def start(self, name: str, *, cold: bool = False) -> WorkFolders:
        def on_wait(what: str, whom: str) -> None:
            self.heard.append(f"{name}: {what}: {whom.partition('run folder ')[2]}")
            self.told.set()

        return WorkFolders(Locks(self.root, "toolkit", f"/{name}", on_wait), cold=cold)


def lend(
    run: WorkFolders,
    built: Callable[[Path], bool] = work_folders.none,
    building: Callable[[Path], bool] = work_folders.none,
    deadline: Deadline | None = None,
) -> contextlib.AbstractContextManager[Path]:
    worth = Worth(now=built, soon=building)
    return run.lend(NAME, what="the work folder", deadline=deadline or soon(), worth=worth)


def built(folder: Path) -> bool:
    return (folder / "built").exists()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setattr(locks, "_SILENT", -1.0)
    return Runs(tmp_path)


def test_runs_at_once_get_folders_of_their_own_and_later_ones_the_first(runs: Runs) -> None:
    one, two = runs.start("one"), runs.start("two")
    with lend(one) as first, lend(two) as second:
        assert [first.name, second.name] == ["key", "key.1"]
        assert first.is_dir()
        assert second.is_dir()
    with lend(runs.start("three")) as third:
        assert third == first
    assert runs.heard == []


def test_a_run_gets_the_folder_that_it_had_before(runs: Runs) -> None:
    one, two = runs.start("one"), runs.start("two")
    with lend(one), lend(two) as second:
        pass
    with lend(two) as again:
        assert again == second


def test_one_that_saves_work_comes_before_one_that_is_empty(runs: Runs) -> None:
    with lend(runs.start("one")), lend(runs.start("two")) as second:
        (second / "built").touch()
    with lend(runs.start("three"), built) as third:
        assert third == second


@contextlib.contextmanager
def held(runs: Runs, *, first: str, then: str = "") -> Iterator[None]:
    """Have a run hold the folder until another one waits; ``first`` and ``then`` are its files."""
    ready = threading.Event()

    def work() -> None:
        with lend(runs.start("one")) as folder:
            (folder / first).touch()
            ready.set()
            assert runs.told.wait(20)
            if then:
                (folder / then).touch()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    yield
    thread.join()
    assert runs.heard == ["two: the work folder: /one)", "two: the work folder: "]


def test_one_that_saves_work_is_waited_for(runs: Runs) -> None:
    with held(runs, first="built"), lend(runs.start("two"), built) as folder:
        assert folder.name == "key"


def test_but_not_for_as_long_as_a_whole_build_takes(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folders, "PATIENCE", 0.2)
    with lend(runs.start("one")) as first:
        (first / "built").touch()
        with lend(runs.start("two"), built) as second:
            assert second.name == "key.1"


def building(folder: Path) -> bool:
    return (folder / "building").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_being_built_for_the_first_time_is_waited_for_however_long_it_takes(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(work_folders, "PATIENCE", 0.0)
    monkeypatch.setattr(work_folders, "_LOOK", 0.0)
    with (
        held(runs, first="building", then="" if fails else "built"),
        lend(runs.start("two"), work_folders.none, building) as folder,
    ):
        assert folder.name == "key"
        assert built(folder) is not fails  # a build that failed left most of what it made


def test_a_build_that_does_not_get_on_is_not_waited_for(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folders, "_LOOK", 0.0)
    looks = iter([True, True, False])
    with lend(runs.start("one")), lend(runs.start("two"), built, lambda _: next(looks)) as second:
        assert second.name == "key.1"


def test_nobody_waits_for_a_build_where_there_is_one_that_is_done(runs: Runs) -> None:
    one, two, three = (runs.start(name) for name in ("one", "two", "three"))
    with lend(one) as first:
        (first / "building").touch()
        with lend(two) as second:
            (second / "built").touch()
        with lend(three, built, building) as third:
            assert third == second
    assert runs.heard == []


def test_a_cold_run_waits_for_nobodys_build(runs: Runs) -> None:
    with lend(runs.start("one")) as first:
        (first / "building").touch()
        with lend(runs.start("two", cold=True), built, building) as second:
            assert second.name == "key.1"
    assert runs.heard == []


def test_there_are_only_so_many_at_a_time(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_folders, "MAX_FOLDERS", 2)
    with lend(runs.start("one")), lend(runs.start("two")):
        third = runs.start("three")
        with pytest.raises(Timeout), lend(third, deadline=Deadline.after(0.2)):
            pass
    assert runs.heard[0] == "three: the work folder: /one)"


def test_those_not_used_for_longest_go_and_none_that_is_in_use(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folders, "KEPT_IDLE", 2)
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(lend(runs.start(str(n)))) for n in range(4)]
        assert len(list(made[0].parent.glob("key*/"))) == 4
        for age, folder in enumerate(made):
            os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    # The first that ended could remove nobody's folder, the last one could.
    assert [folder.is_dir() for folder in made] == [True, True, False, False]


def test_a_cold_run_empties_what_it_gets_once(runs: Runs) -> None:
    with lend(runs.start("one")) as folder:
        (folder / "built").touch()
    cold = runs.start("two", cold=True)
    with lend(cold, built) as again:
        assert again == folder
        assert not built(again)
        (again / "built").touch()
    with lend(cold, built) as again:
        assert built(again)


def test_a_folder_of_a_killed_run_is_lent_again(runs: Runs) -> None:
    """Its lock fell with it (test_locks), and its note remains."""
    with lend(runs.start("one")) as folder:
        note = folder.with_name("key.holder").read_text()
    folder.with_name("key.holder").write_text(note)
    with lend(runs.start("two")) as again:
        assert again == folder


def test_other_names_that_begin_alike_are_not_touched(runs: Runs) -> None:
    for other in ("key2", "key.old", ".trash.key", "key.1.2"):
        (runs.root / "work/kernel" / other).mkdir(parents=True)
    with lend(runs.start("one")) as first, lend(runs.start("two")) as second:
        assert [first.name, second.name] == ["key", "key.1"]
