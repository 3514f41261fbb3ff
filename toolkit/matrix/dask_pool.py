"""A pool of workers that Dask's scheduler gives the jobs to."""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client

from toolkit.core.errors import InfrastructureError
from toolkit.matrix import dask_worker
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.offers import Offers
from toolkit.matrix.outcome import Outcome
from toolkit.matrix.pool import Finished, Handle

_LOOK = 2.0  # seconds between two questions to the scheduler: who is there, who does what
_STOP_SECONDS = 60.0  # for all machines of a run to be gone
_LATER = 0.1


@dataclass(frozen=True, slots=True)
class _Given:
    """The futures of a job: how it ended, and what it gives to the next one."""

    key: str
    told: Any
    parcel: Any


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Turn the errors of a connection that is lost into the toolkit's."""
    try:
        yield
    except (OSError, TimeoutError) as error:  # Dask's CommClosedError is one of the former
        raise _gone() from error


def _gone() -> InfrastructureError:
    return InfrastructureError(
        "the connection to Dask's scheduler is lost",
        hint="start it again, and its workers; then the same command goes on from here",
    )


class DaskPool:
    """See :class:`toolkit.matrix.pool.Pool`; the jobs are those of one run of a matrix.

    ``archive`` has its inputs.
    """

    def __init__(self, client: Client, run: str, archive: bytes) -> None:
        self._client, self._run, self._archive = client, run, archive
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._given: dict[int, _Given] = {}
        self._by_key: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._offers: dict[str, Offers] = {}
        self._running: dict[str, str] = {}
        self._looked = 0.0

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
        with _connected():
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self._offers = {str(its["name"]): its["resources"] for its in workers}
        self._running = {}
        for its in workers:
            match its["metrics"].get(dask_worker.DOING):
                case [self._run, title]:
                    self._running[title] = str(its["name"])
        self._looked = time.monotonic()

    def submit(
        self, job: Job, needs: Offers, *, after: Handle | None, on: Collection[str], rank: float
    ) -> Handle:
        """See the class."""
        number = next(self._numbers)
        earlier = self._given[after].parcel if isinstance(after, int) else None
        key = f"{job.kind.value.replace(' ', '_')}-{self._run}-{number}"
        work = self._client.submit(
            dask_worker.perform,
            job,
            self._archive,
            earlier,
            key=key,
            resources=dict(needs),
            workers=sorted(on) or None,
            priority=rank,
            pure=False,
        )
        told, parcel = work, work
        if job.kind in (Kind.FETCH, Kind.BUILD):
            options = {"pure": False, "priority": rank + _LATER}
            told = self._client.submit(dask_worker.outcome_of, work, key=f"told-{key}", **options)
            parcel = self._client.submit(dask_worker.parcel_of, work, key=f"give-{key}", **options)
        self._given[number] = _Given(key, told, parcel)
        self._by_key[key] = number
        told.add_done_callback(lambda _: self._ended.put(number))
        return number

    def wait(self, seconds: float) -> Sequence[Finished]:
        """See the class."""
        numbers: list[int] = []
        with contextlib.suppress(queue.Empty):
            numbers.append(
                self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
            )
            while True:
                numbers.append(self._ended.get_nowait())
        if self._client.status not in ("running", "connecting"):
            raise _gone()
        return [self._finished(number) for number in numbers if number in self._given]

    def _finished(self, number: int) -> Finished:
        future = self._given[number].told
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            return Finished(number, None, str(error or f"the scheduler lost it ({future.status})"))
        with _connected():
            result = future.result()
        return Finished(number, result if isinstance(result, Outcome) else result.outcome)

    def release(self, handle: Handle) -> None:
        """See the class."""
        if isinstance(handle, int) and (given := self._given.pop(handle, None)):
            self._by_key.pop(given.key, None)
            for future in {given.told, given.parcel}:
                future.release()

    def stop(self) -> None:
        """See the class."""
        with contextlib.suppress(Exception):  # whoever is gone has no machine left
            self._client.run(dask_worker.stop, self._run, on_error="ignore")
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
