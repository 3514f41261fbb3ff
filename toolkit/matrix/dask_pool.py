"""A pool of workers that Dask's scheduler gives the jobs to."""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client

from toolkit.core.errors import InfrastructureError
from toolkit.matrix import dask_worker, offers, version, worker_store
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.offers import Offers
from toolkit.matrix.outcome import Outcome
from toolkit.matrix.pool import Finished, Handle

_LOOK = 2.0  # seconds between two questions to the scheduler: who is there, who does what
_STOP_SECONDS = 60.0  # for all machines of a run to be gone
_LATER = 0.1
_CLOSED = ("closing", "closed")  # what Dask calls a client that has given up


@dataclass(frozen=True, slots=True)
class _Given:
    """The futures of a job: how it ended, and what it gives to the next one."""

    key: str
    told: Any
    parcel: Any


def _gone() -> InfrastructureError:
    return InfrastructureError(
        "the connection to Dask's scheduler is lost",
        hint="start it again, and its workers; then the same command goes on from here",
    )


class DaskPool:
    """See :class:`toolkit.matrix.pool.Pool`; the jobs are those of one run of a matrix.

    ``archive`` has its inputs, which each worker gets once. Keys of jobs and what is stopped go by
    the client and not by the run: Dask may remember those of a client that died.
    """

    def __init__(self, client: Client, run: str, archive: bytes) -> None:
        self._client, self._run, self._archive = client, run, archive
        self._own = uuid.uuid4().hex[:8]
        self._supplied: set[str] = set()  # addresses of workers
        self._keepers: dict[str, str] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._given: dict[int, _Given] = {}
        self._by_key: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._offers: dict[str, Offers] = {}
        self._running: dict[str, str] = {}
        self._looked = 0.0

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn the errors of a connection that is lost into the toolkit's."""
        try:
            yield
        except (OSError, TimeoutError) as error:  # Dask's CommClosedError is one of the former
            raise _gone() from error
        except Exception as error:  # which of them, Dask's versions differ in
            if self._client.status in _CLOSED:
                raise _gone() from error
            raise

    def offers(self) -> Mapping[str, Offers]:
        """See the class."""
        self._look()
        return self._offers

    def running(self) -> Mapping[str, str]:
        """See the class."""
        self._look()
        return self._running

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOK:
            return
        workers = self._workers()
        if workers is None:
            return
        self._supply(workers)
        self._offers = {str(its["name"]): its["resources"] for its in workers.values()}
        self._running = {}
        for its in workers.values():
            match its["metrics"].get(dask_worker.DOING):
                case [self._run, title]:
                    self._running[title] = str(its["name"])
        self._looked = time.monotonic()

    def _workers(self) -> Mapping[str, Any] | None:
        """Return what the scheduler knows of each worker, by address; None where it cannot say."""
        with self._connected():
            try:
                # Not scheduler_info(): a timer of the client's puts an answer without workers in
                # the place where that looks for its own.
                identity = self._client.sync(self._client.scheduler.identity, n_workers=-1)
            except OSError:  # the client tries to connect again; wait() says if it gives up
                return None
        workers: Mapping[str, Any] = identity["workers"]
        return workers

    def _supply(self, workers: Mapping[str, Any]) -> None:
        """Give the inputs to workers that have come, and ask what they have of this run."""
        self._supplied &= workers.keys()
        fresh = [
            address
            for address in workers.keys() - self._supplied
            if offers.version_of(workers[address]["resources"]) == version.this()
        ]
        if not fresh:
            return
        with self._connected():
            replies = self._client.run(
                dask_worker.take_inputs,
                self._run,
                self._archive,
                workers=fresh,
                on_error="ignore",
            )
        for address, names in replies.items():
            self._supplied.add(address)
            self._keepers |= dict.fromkeys(names, str(workers[address]["name"]))

    def keeper(self, name: str) -> str:
        """See the class."""
        return self._keepers.get(name, "")

    def submit(
        self, job: Job, needs: Offers, *, after: Handle | None, on: Collection[str], rank: float
    ) -> Handle:
        """See the class."""
        number = next(self._numbers)
        key = f"{job.kind.value.replace(' ', '_')}-{self._own}-{number}"
        earlier = self._given[after].parcel if isinstance(after, int) else None
        with self._connected():
            given = self._futures(
                job, key, earlier, resources=dict(needs), workers=sorted(on) or None, priority=rank
            )
        self._given[number] = given
        self._by_key[key] = number
        given.told.add_done_callback(lambda _: self._ended.put(number))
        return number

    def _futures(self, job: Job, key: str, earlier: Any, **where: Any) -> _Given:
        submit = self._client.submit
        work = submit(dask_worker.perform, job, self._own, earlier, key=key, pure=False, **where)
        if job.kind not in (Kind.FETCH, Kind.BUILD):
            return _Given(key, work, work)
        options = {"pure": False, "priority": where["priority"] + _LATER}
        told = submit(dask_worker.outcome_of, work, key=f"told-{key}", **options)
        parcel = submit(dask_worker.parcel_of, work, key=f"give-{key}", **options)
        return _Given(key, told, parcel)

    def wait(self, seconds: float) -> Sequence[Finished]:
        """See the class."""
        numbers: list[int] = []
        with contextlib.suppress(queue.Empty):
            numbers.append(
                self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
            )
            while True:
                numbers.append(self._ended.get_nowait())
        if self._client.status in _CLOSED:
            raise _gone()
        return [self._finished(number) for number in numbers if number in self._given]

    def _finished(self, number: int) -> Finished:
        future = self._given[number].told
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            return Finished(number, None, str(error or f"the scheduler lost it ({future.status})"))
        with self._connected():
            result = future.result()
        return Finished(number, result if isinstance(result, Outcome) else result.outcome)

    def release(self, handle: Handle) -> None:
        """See the class."""
        if isinstance(handle, int) and (given := self._given.pop(handle, None)):
            self._by_key.pop(given.key, None)
            for future in {given.told, given.parcel}:
                future.release()

    def forget(self) -> None:
        """See the class."""
        with contextlib.suppress(Exception):  # or it goes after a week
            self._client.run(worker_store.forget, self._run, on_error="ignore")

    def stop(self) -> None:
        """See the class."""
        with contextlib.suppress(Exception):  # whoever is gone has no machine left
            self._client.run(dask_worker.stop, self._own, on_error="ignore")
        until = time.monotonic() + _STOP_SECONDS
        with contextlib.suppress(Exception):
            self._client.cancel([given.told for given in self._given.values()])
            while time.monotonic() < until and any(self._mine()):
                time.sleep(_LATER)

    def _mine(self) -> list[str]:
        return [
            key
            for keys in self._client.processing().values()
            for key in keys
            if key in self._by_key
        ]
