"""The clusters that a matrix can run on. Imported where Dask is installed alone."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import dask
from distributed import Client, Scheduler, SpecCluster

from toolkit.matrix import offers, worker_store
from toolkit.matrix.dask_pool import DaskPool
from toolkit.matrix.dask_worker import StationWorker
from toolkit.matrix.dispatch import ATTEMPTS
from toolkit.matrix.pool import Pool
from toolkit.matrix.run import OpenPool
from toolkit.matrix.station import Station

_HERE = "this host"
_CPUS_PER_STATION = 8  # a run that boots more machines at a time than this is rare
_SETTINGS = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    "distributed.worker.profile.enabled": False,
}


class _Scheduler(Scheduler):  # type: ignore[misc]
    """Dask's scheduler without its web server, which would listen on the network."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


def stations(name: str, count: int) -> list[Station]:
    """Return so many stations for this host, each with its share of the CPUs.

    ``count`` 0: as many as the host is fit for.
    """
    cpus = sorted(os.sched_getaffinity(0))
    count = min(count or max(1, len(cpus) // _CPUS_PER_STATION), len(cpus))
    if count == 1:
        return [Station(name)]
    return [Station(f"{name}/{number}", tuple(cpus[number::count])) for number in range(count)]


def of_this_host(count: int) -> OpenPool:
    """Return what opens a pool of this host alone, in this process; see :func:`stations`.

    Nothing of it listens on the network.
    """

    @contextlib.contextmanager
    def opened(run: str, archive: bytes) -> Iterator[Pool]:
        with _in_process(count) as client:
            yield DaskPool(client, run, archive)

    return opened


@contextlib.contextmanager
def _in_process(count: int) -> Iterator[Client]:
    _quiet()
    its = stations(_HERE, count)
    offered = offers.of_this_host(worker_store.kernels(), len(its))
    workers = {
        station.name: {"cls": StationWorker, "options": {"station": station, "resources": offered}}
        for station in its
    }
    scheduler = {
        "cls": _Scheduler,
        "options": {"protocol": "inproc://", "dashboard": False},
    }
    with (
        dask.config.set(_SETTINGS),
        SpecCluster(workers=workers, scheduler=scheduler, name=_HERE) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _quiet() -> None:
    """Keep Dask's log off the terminal; what goes wrong with a job is told anyway."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
