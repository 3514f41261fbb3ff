"""What runs in a Dask worker, and the worker itself. Imported where Dask is installed alone."""

from __future__ import annotations

from typing import Any

from distributed import Worker, get_worker

from toolkit.matrix.jobs import Job
from toolkit.matrix.outcome import Outcome
from toolkit.matrix.parcel import Parcel, Source
from toolkit.matrix.station import Done, Station

# One for a job, which the station's offers bound to one at a time, and one for what takes no time.
THREADS = 2
DOING = "doing"  # what a worker tells with each heartbeat


class StationWorker(Worker):  # type: ignore[misc]
    """A Dask worker with a station. It has no web server, which would listen on the network."""

    def __init__(self, *args: Any, station: Station, **options: Any) -> None:
        self.station = station
        options |= {"name": station.name, "nthreads": THREADS, "memory_limit": 0}
        super().__init__(*args, dashboard=False, metrics={DOING: _doing}, **options)

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


def _doing(worker: StationWorker) -> list[str]:
    """Return the run and the title of the job that a worker is at; nothing where there is none."""
    job = worker.station.doing
    return [job.run, job.title] if job else []


def take_inputs(run: str, archive: bytes, dask_worker: Any) -> list[str]:
    """Give a worker's station the inputs of a run; see :meth:`Station.take_inputs`."""
    station: Station = dask_worker.station
    return station.take_inputs(run, archive)


def perform(job: Job, client: str, earlier: Parcel | Source | None) -> Done:
    """Do a job at this worker's station."""
    station: Station = get_worker().station
    return station.perform(job, client, earlier)


def outcome_of(done: Done) -> Outcome:
    """Return how a job ended, without what it built, which stays where it is."""
    return done.outcome


def parcel_of(done: Done) -> Parcel | Source | None:
    """Return what a job gave to the next one."""
    return done.parcel


def stop(client: str, dask_worker: Any) -> None:
    """Have a worker's station end the jobs of a client."""
    dask_worker.station.stop(client)
