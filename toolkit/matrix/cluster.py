"""The clusters that a matrix can run on. Imported where Dask is installed alone."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

import dask
import psutil
from distributed import Client, Scheduler, Security, SpecCluster
from distributed.utils import get_ip_interface

from toolkit.matrix import offers, worker_store
from toolkit.matrix.dask_pool import DaskPool
from toolkit.matrix.dask_worker import StationWorker
from toolkit.matrix.dispatch import ATTEMPTS
from toolkit.matrix.pool import Pool
from toolkit.matrix.run import OpenPool
from toolkit.matrix.station import Station

_HERE = "this host"
_CPUS_PER_STATION = 8  # a run that boots more machines at a time than this is rare
SETTINGS = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    "distributed.worker.profile.enabled": False,
}


class QuietScheduler(Scheduler):  # type: ignore[misc]
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
    # Neighbours, which share a socket and its caches.
    ends = [len(cpus) * number // count for number in range(count + 1)]
    shares = [tuple(cpus[begin:end]) for begin, end in itertools.pairwise(ends)]
    return [Station(f"{name}/{number}", share) for number, share in enumerate(shares)]


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
    quiet()
    worker_store.prune()
    its = stations(_HERE, count)
    offered = offers.of_this_host(worker_store.kernels(), len(its))
    workers = {
        station.name: {"cls": StationWorker, "options": {"station": station, "resources": offered}}
        for station in its
    }
    scheduler = {
        "cls": QuietScheduler,
        "options": {"protocol": "inproc://", "dashboard": False},
    }
    with (
        dask.config.set(SETTINGS),
        SpecCluster(workers=workers, scheduler=scheduler, name=_HERE) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        try:
            yield client
        finally:
            for station in its:
                station.close()


def security(ca: str, cert: str, key: str) -> Security:
    """Return what Dask needs to talk TLS alone, with one certificate whatever part this side plays.

    Each is a file's path or the text itself.
    """
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=ca,
        **{f"tls_{role}_cert": cert for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )


def address_of(listen: str) -> str | None:
    """Return the address to listen at: one, or that of a network interface; None for any."""
    return get_ip_interface(listen) if listen in psutil.net_if_addrs() else listen or None


def quiet(level: int = logging.CRITICAL) -> None:
    """Keep Dask's log below ``level`` off the terminal; how a job ended is shown anyway."""
    warnings.filterwarnings("ignore", message="Creating scratch directories")  # a slow disk
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(level)
