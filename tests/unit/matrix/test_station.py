from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.matrix import fake_toolkit
from tests.unit.matrix.fake_pool import RUN, cell, planned
from tests.unit.matrix.fake_toolkit import FakeToolkit
from toolkit.host import process
from toolkit.matrix import jobs, outcome, standby, station, worker_store
from toolkit.matrix.jobs import Group, Job
from toolkit.matrix.parcel import Parcel, Source
from toolkit.matrix.station import Done, Station, StoppedError


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeToolkit:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(station, "_POLL", 0.01)
    return fake_toolkit.make(tmp_path / "fake")


PROJECT = Path(__file__).parents[3]
INPUTS = fake_toolkit.archive(Path())
CLIENT = "a client"
(CELL,) = planned(cell())
FETCH = jobs.fetch(RUN, "debian:6.12")
BUILD = jobs.build(RUN, Group("g", (CELL,)))


def test_of(shard: tuple[int, int] = (1, 1), programs: tuple[str, ...] = ()) -> Job:
    return jobs.test(RUN, CELL, shard, programs, 512)


test_of.__test__ = False  # type: ignore[attr-defined]


def perform(toolkit: FakeToolkit, job: Job, earlier: Parcel | Source | None = None) -> Done:
    return at_work(toolkit.command).perform(job, CLIENT, earlier)


def at_work(command: tuple[str, ...], *cpus: int) -> Station:
    """Return a station with the inputs of the run."""
    its = Station("one", cpus, command)
    its.take_inputs(RUN, INPUTS)
    return its


def test_a_build_gives_what_its_tests_need(toolkit: FakeToolkit, tmp_path: Path) -> None:
    done = perform(toolkit, BUILD)
    assert isinstance(done.parcel, Parcel)
    assert done.outcome.exit_code == 0
    assert done.outcome.suites == (("kvm", ("a_test",)), ("net", ("b_test",)))
    assert (done.outcome.memory_mib, done.outcome.worker) == (768, "one")
    tested = perform(toolkit, test_of((1, 2), ("a_test", "[b]_test")), done.parcel)
    assert tested.outcome.exit_code == 0
    outcome.unpack(tested.outcome.archive, tmp_path / "run")
    assert fake_toolkit.leaves(tmp_path / "run") == 3
    called = toolkit.calls()[-1].split()
    assert called[:2] == ["test", "--from"]
    assert called[3:11] == [
        "--arch",
        "x86_64",
        "--test",
        "a_test",
        "--test",
        "[[]b]_test",
        "--suite",
        "kvm",
    ]
    path = done.parcel.path
    assert path.is_dir()
    del done
    assert not path.exists(), "what nobody holds any longer is removed"


def test_a_fetch_remembers_where_its_kernel_is_at_home(toolkit: FakeToolkit) -> None:
    assert isinstance(perform(toolkit, FETCH).parcel, Source)
    assert worker_store.kernels() == ["debian:6.12"]


@pytest.mark.parametrize(("status", "code"), [("1", 1), ("2", 2), ("3", 3), ("7", 3)])
def test_how_a_job_failed_is_told_with_its_last_words(
    toolkit: FakeToolkit, status: str, code: int
) -> None:
    toolkit.let("fetch", "fails", status)
    ended = perform(toolkit, FETCH).outcome
    assert ended.exit_code == code
    assert ended.message == "the toolkit exited with 7\n" * (status == "7") + "fetch failed"
    assert worker_store.kernels() == []


def test_without_an_error_its_last_lines_are_told(toolkit: FakeToolkit) -> None:
    (toolkit.folder / "toolkit").write_text("#!/bin/sh\nseq 100\nexit 3\n")
    assert perform(toolkit, FETCH).outcome.message.split() == [str(n) for n in range(89, 101)]


def test_what_is_killed_is_the_infrastructure(toolkit: FakeToolkit) -> None:
    (toolkit.folder / "toolkit").write_text("#!/bin/sh\nkill -9 $$\n")
    ended = perform(toolkit, FETCH).outcome
    assert (ended.exit_code, ended.message) == (3, "the toolkit was killed by signal 9")


def test_a_full_disk_is_the_infrastructure(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "pack", full)
    ended = perform(toolkit, BUILD).outcome
    assert (ended.exit_code, ended.message) == (3, "No space left on device: /state/x")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device", "/state/x")


def test_a_verdict_that_cannot_be_stored_is_none_the_less_told(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = perform(toolkit, BUILD)
    monkeypatch.setattr(worker_store, "keep", full)
    toolkit.let("test", "exits", "1")
    assert perform(toolkit, test_of(), build.parcel).outcome.exit_code == 1


def test_a_test_that_was_finished_here_is_not_run_again(toolkit: FakeToolkit) -> None:
    """Its client died before it heard of it, and asks again."""
    build = perform(toolkit, BUILD)
    toolkit.let("test", "exits", "1")
    first = perform(toolkit, test_of(), build.parcel)
    again = perform(toolkit, test_of(), build.parcel)
    assert first == again
    assert again.outcome.exit_code == 1
    assert sum(call.startswith("test") for call in toolkit.calls()) == 1


def test_what_the_host_failed_at_is_tried_again(toolkit: FakeToolkit) -> None:
    build = perform(toolkit, BUILD)
    toolkit.let("test", "fails", "3")
    assert perform(toolkit, test_of(), build.parcel).outcome.exit_code == 3
    (toolkit.folder / "test-fails").unlink()
    assert perform(toolkit, test_of(), build.parcel).outcome.exit_code == 0


def test_it_is_stopped_with_all_that_it_started(toolkit: FakeToolkit) -> None:
    toolkit.let("fetch", "sleeps")
    one = at_work(toolkit.command)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            one.perform(FETCH, CLIENT)
        except StoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not toolkit.calls():
        time.sleep(0.01)
    one.stop("another client")
    time.sleep(0.1)
    assert thread.is_alive()
    one.stop(CLIENT)
    thread.join()
    assert [type(each) for each in caught] == [StoppedError]
    assert toolkit.calls()[-1] == "stopped", "it had the time to stop its machines"
    with pytest.raises(StoppedError):
        one.perform(FETCH, CLIENT)
    (toolkit.folder / "fetch-sleeps").unlink()
    assert one.perform(FETCH, "the next client").outcome.exit_code == 0, "it goes on with the run"


def test_what_a_client_missed_is_named_to_the_next_one(toolkit: FakeToolkit) -> None:
    build = perform(toolkit, BUILD)
    perform(toolkit, test_of(), build.parcel)
    one = at_work(toolkit.command)
    assert set(one.take_inputs(RUN, INPUTS)) == {BUILD.name, test_of().name}
    one.doing = FETCH
    assert FETCH.name in one.take_inputs(RUN, INPUTS)
    assert one.take_inputs("f" * 16, INPUTS) == []


def test_two_stations_at_one_job_are_in_nobody_s_way(toolkit: FakeToolkit) -> None:
    first, second = perform(toolkit, BUILD), perform(toolkit, BUILD)
    assert isinstance(second.parcel, Parcel)
    del first
    assert perform(toolkit, test_of(), second.parcel).outcome.exit_code == 0


def test_without_inputs_there_is_no_job(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "_INPUTS_SECONDS", 0.05)
    ended = Station("one", command=toolkit.command).perform(FETCH, CLIENT).outcome
    assert (ended.exit_code, ended.message) == (3, "no inputs came within 0 s")
    assert toolkit.calls() == []


def test_what_does_not_end_is_the_infrastructure(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "_LONGER", -3599.8)
    toolkit.let("fetch", "sleeps")
    ended = perform(toolkit, FETCH).outcome
    assert (ended.exit_code, ended.message.strip()) == (3, "it did not end within 0 s")


def test_a_station_keeps_to_its_share_of_the_cpus(toolkit: FakeToolkit) -> None:
    (toolkit.folder / "toolkit").write_text(
        '#!/bin/sh\ntaskset --cpu-list --pid $$ | sed "s/.*: //" >>"$(dirname "$0")/calls"\n'
    )
    cpus = sorted(os.sched_getaffinity(0))
    at_work(toolkit.command, cpus[0]).perform(FETCH, CLIENT)
    assert toolkit.calls() == [str(cpus[0])]


def test_nothing_of_the_caller_s_page_is_written_to(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/page")
    (toolkit.folder / "toolkit").write_text(
        '#!/bin/sh\necho "${GITHUB_STEP_SUMMARY-none} $XDG_STATE_HOME" >>"$(dirname "$0")/calls"\n'
    )
    perform(toolkit, FETCH)
    assert toolkit.calls() == [f"none {worker_store.root() / 'state'}"]


def test_old_runs_are_forgotten(toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    perform(toolkit, FETCH)
    folder = worker_store.of_run(RUN)
    worker_store.prune()
    assert folder.is_dir()
    monkeypatch.setattr(worker_store, "KEPT_DAYS", -1.0)
    worker_store.prune()
    assert not folder.exists()


def test_a_run_s_name_leads_nowhere_else() -> None:
    with pytest.raises(ValueError, match="no run of a matrix"):
        worker_store.of_run("../../etc")


def test_the_worker_s_death_ends_its_job(toolkit: FakeToolkit) -> None:
    """kill -9 of a worker leaves no machine: its child dies with it, and all of that one's."""
    toolkit.let("fetch", "sleeps")
    script = toolkit.command[0]
    program = (
        "from tests.unit.matrix.test_station import *;"
        f"at_work(({script!r},)).perform(FETCH, CLIENT)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT)
    try:
        while not toolkit.calls():
            assert worker.poll() is None
            time.sleep(0.01)
    finally:
        worker.kill()
        worker.wait()
    until = time.monotonic() + 20
    while any(script in words for words in _commands()):
        assert time.monotonic() < until, "the job outlives its worker"
        time.sleep(0.05)


def _commands() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text(errors="replace"))
        except OSError:
            continue
    return found


class FakeStandby:
    """A command that waits, and its fate; ``gone`` ones cannot be had any more."""

    def __init__(self, toolkit: FakeToolkit, *, gone: bool = False) -> None:
        self._toolkit, self._gone = toolkit, gone
        self.fate = "waits"

    def become(self, words: Sequence[str], log: Path) -> process.Child | None:
        self.fate = "gone" if self._gone else "taken"
        if self._gone:
            return None
        with log.open("wb") as stream:
            argv = [*self._toolkit.command, *words]
            return process.start(argv, cwd=log.parent, stdout=stream, stderr=stream)

    def end(self) -> None:
        self.fate = "ended"


def test_the_next_job_s_command_is_started_beside_a_job(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[FakeStandby] = []

    def start(*_: object) -> FakeStandby:
        started.append(FakeStandby(toolkit, gone=len(started) == 1))
        return started[-1]

    monkeypatch.setattr(station, "TOOLKIT", toolkit.command)
    monkeypatch.setattr(standby, "start", start)
    its = at_work(toolkit.command)
    built = its.perform(BUILD, CLIENT)
    assert built.outcome.exit_code == 0
    assert its.perform(FETCH, CLIENT).outcome.exit_code == 0
    assert its.perform(test_of(), CLIENT, built.parcel).outcome.exit_code == 0
    assert [each.fate for each in started] == ["taken", "gone", "waits"]
    assert len(toolkit.calls()) == len(started)
    its.close()
    assert started[-1].fate == "ended"


def test_another_command_than_the_toolkit_has_no_one_waiting(
    toolkit: FakeToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "start", None)
    assert perform(toolkit, FETCH).outcome.exit_code == 0
