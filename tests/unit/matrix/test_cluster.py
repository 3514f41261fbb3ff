"""The engine on Dask's own in-process cluster, with a toolkit that is a few lines of shell."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.matrix import fake_toolkit
from tests.unit.matrix.fake_pool import RUN, FakeBook, cell, planned
from tests.unit.matrix.fake_toolkit import FakeToolkit
from tests.unit.matrix.test_engine import Watcher
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.matrix import Cell
from toolkit.matrix import offers, station, version
from toolkit.matrix.engine import Engine
from toolkit.matrix.station import Station

pytest.importorskip("distributed")

from toolkit.matrix import cluster, dask_pool
from toolkit.matrix.dask_pool import DaskPool

EVERYTHING: dict[str, float] = {
    offers.of_version(version.this()): 1,
    "VM x86_64": 1,
    "build x86_64": 1,
    "toolchain gcc x86_64": 1,
    "kernel sources": 1,
    "memory in MiB": 4096,
}


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeToolkit:
    made = fake_toolkit.make(tmp_path / "fake")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(station, "_POLL", 0.01)
    monkeypatch.setattr(dask_pool, "_LOOK", 0.05)
    monkeypatch.setattr(offers, "of_this_host", lambda *_: EVERYTHING)
    its = [Station(f"here/{n}", command=made.command) for n in range(2)]
    monkeypatch.setattr(cluster, "stations", lambda *_: its)
    return made


@pytest.fixture
def pool(toolkit: FakeToolkit) -> Iterator[DaskPool]:
    with cluster._in_process(2) as client:
        yield DaskPool(client, RUN, fake_toolkit.archive(Path()))


def engine(pool: DaskPool, *cells: Cell, book: FakeBook | None = None) -> tuple[FakeBook, Watcher]:
    book, watcher = book or FakeBook(), Watcher()
    Engine(
        RUN,
        planned(*cells),
        pool,
        book,
        watcher,
        version=version.this(),
        took=lambda _: {},
        shard_seconds=60,
    ).go()
    return book, watcher


def listening_sockets() -> set[str]:
    """Return the inodes of the sockets on which this process accepts TCP connections."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    accepting = {words[9] for words in lines if words[3] == "0A"}  # net/tcp_states.h: TCP_LISTEN
    ours = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # another thread may close it
            ours.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return accepting & ours


def commands(toolkit: FakeToolkit) -> list[str]:
    return sorted(call.split()[0] for call in toolkit.calls())


def test_cells_run_and_nothing_listens_on_the_network(toolkit: FakeToolkit, pool: DaskPool) -> None:
    assert not listening_sockets()
    book, watcher = engine(pool, cell(), cell(suite="net"), cell("v5", baseline=True))
    assert commands(toolkit) == ["build", "build-and-test", "fetch", "test", "test"]
    assert {e.outcome.exit_code for parts in book.cells.values() for _, e in parts} == {0}
    assert {e.outcome.worker for e in book.jobs.values()} <= {"here/0", "here/1"}
    assert watcher.progress[-1].workers == 2
    state = Path(os.environ["XDG_STATE_HOME"]) / "kernel-toolkit/worker/runs" / RUN
    until = time.monotonic() + 10
    while any((state / "builds").iterdir()):  # Dask lets go of them a moment later
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_job_that_the_host_fails_at_goes_to_another_worker(
    toolkit: FakeToolkit, pool: DaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    perform = Station.perform

    def once(self: Station, *given: Any) -> Any:
        if given[0].kind.value == "fetch" and not failed:
            failed.append(self.name)
            raise RuntimeError("nobody expected this")
        return perform(self, *given)

    monkeypatch.setattr(Station, "perform", once)
    book, watcher = engine(pool, cell())
    (fetched,) = (e for name, e in book.jobs.items() if name.startswith("fetch"))
    assert (fetched.attempts, fetched.outcome.exit_code) == (2, 0)
    assert watcher.lines[0] == "fetch k: the host failed (nobody expected this), tried again"


def test_stopping_ends_what_runs_and_the_next_client_goes_on(
    toolkit: FakeToolkit, pool: DaskPool
) -> None:
    toolkit.let("fetch", "sleeps")
    caught: list[BaseException] = []

    class Interrupted(Watcher):
        def look(self, progress: object) -> None:
            if toolkit.calls():
                raise KeyboardInterrupt

    def work() -> None:
        try:
            Engine(
                RUN,
                planned(cell()),
                pool,
                FakeBook(),
                Interrupted(),
                version=version.this(),
                took=lambda _: {},
                shard_seconds=60,
            ).go()
        except KeyboardInterrupt as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(caught) == 1
    assert toolkit.calls()[-1] == "stopped"
    assert pool._mine() == []
    (toolkit.folder / "fetch-sleeps").unlink()
    following = DaskPool(pool._client, RUN, fake_toolkit.archive(Path()))
    book, _ = engine(following, cell())
    assert {ended.outcome.exit_code for ended in book.jobs.values()} == {0}


def test_what_a_client_missed_is_known_to_the_next_one(
    toolkit: FakeToolkit, pool: DaskPool
) -> None:
    book, _ = engine(pool, cell(), cell(suite="net"))
    (missed,) = (each for each in book.jobs if each.startswith("test-v4-k-net"))
    following = DaskPool(pool._client, RUN, fake_toolkit.archive(Path()))
    following.offers()
    assert following.keeper(missed) in ("here/0", "here/1")
    again, _ = engine(following, cell(), cell(suite="net"))
    assert commands(toolkit).count("test") == 2, "none is done again"
    assert again.cells.keys() == book.cells.keys()


def test_no_timer_of_dask_s_client_makes_the_workers_vanish(pool: DaskPool) -> None:
    client = pool._client
    ask = client.scheduler_info

    def late(**how: Any) -> Any:
        ask(**how)
        return ask(n_workers=0)  # as the timer does

    client.scheduler_info = late
    assert sorted(pool.offers()) == ["here/0", "here/1"]


def test_a_client_that_gives_up_has_lost_its_scheduler(
    pool: DaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise RuntimeError("ConnectionPool is closed")

    with monkeypatch.context() as patch:
        patch.setattr(pool._client, "sync", closed)
        patch.setattr(pool._client, "status", "closing")
        with pytest.raises(InfrastructureError, match="scheduler is lost"):
            pool.offers()


def test_what_no_worker_here_can_do_is_no_reason_to_wait(
    toolkit: FakeToolkit, pool: DaskPool
) -> None:
    book, _ = engine(pool, cell(accel="kvm"))
    ((_, ended),) = next(iter(book.cells.values()))
    assert ended.outcome.exit_code == 3
    assert ended.outcome.message.endswith("lacks a usable /dev/kvm for x86_64")


def test_the_share_of_each_station(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 4, 5})
    assert cluster.stations("x", 1) == cluster.stations("x", 0) == [Station("x")]
    assert [each.cpus for each in cluster.stations("x", 2)] == [(1, 2), (3, 4, 5)]
    assert [each.name for each in cluster.stations("x", 9)] == [f"x/{n}" for n in range(5)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert [len(each.cpus) for each in cluster.stations("x", 0)] == [8, 8]
