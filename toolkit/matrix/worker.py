"""A host's part in matrices: stations that take jobs from a scheduler until that goes or ^C.

Imported where Dask is installed alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask
from distributed import Security

from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.text import printable
from toolkit.matrix import cluster, offers, version, worker_store
from toolkit.matrix.dask_worker import StationWorker
from toolkit.matrix.station import Station

_CONNECT_SECONDS = 60.0  # a scheduler that does not answer for longer is not there
_MAX_CREDENTIALS = 1 << 16
_SETTINGS = {"distributed.worker.profile.enabled": False}


def serve(
    address: str,
    security: Any,
    *,
    name: str,
    count: int,
    listen: str,
    notice: Callable[[str], object],
    until: Callable[[], object] | None = None,
) -> None:
    """Do the jobs of the scheduler at ``address``; returns when it closes, or ``until`` returns.

    ``count`` is as in :func:`toolkit.matrix.cluster.stations`; others reach the stations at the
    address or interface ``listen``. Raises :class:`InfrastructureError` where the scheduler cannot
    be reached.
    """
    cluster.quiet(logging.WARNING)
    worker_store.prune()
    its = cluster.stations(name or socket.gethostname(), count)
    try:
        with dask.config.set(_SETTINGS):
            options = {
                "security": security,
                "host": cluster.address_of(listen),
                "death_timeout": _CONNECT_SECONDS,
            }
            asyncio.run(_serve(address, its, options, notice=notice, until=until))
    finally:
        for station in its:
            station.close()


async def _serve(
    address: str,
    stations: Sequence[Station],
    options: Mapping[str, Any],
    *,
    notice: Callable[[str], object],
    until: Callable[[], object] | None,
) -> None:
    offered = offers.of_this_host(worker_store.kernels(), len(stations))
    workers = [
        StationWorker(address, station=each, resources=offered, **options) for each in stations
    ]
    try:
        for worker in workers:
            await worker
    except (OSError, TimeoutError) as error:
        raise InfrastructureError(
            f"the scheduler at {address} cannot be reached: {printable(str(error))}",
            hint="is it there, and are the certificates those of its authority?",
        ) from error
    names = ", ".join(each.name for each in stations)
    notice(f"{names}: toolkit {version.this()}, working for {address}")
    ends = [asyncio.ensure_future(worker.finished()) for worker in workers]
    if until:
        ends.append(asyncio.ensure_future(_in_thread(until)))
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        notice(f"{names}: no more work for {address}")
    finally:
        for station in stations:
            station.close()
        await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)


async def _in_thread(wait: Callable[[], object]) -> None:
    """Wait in a thread that keeps nobody from ending."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def work() -> None:
        try:
            wait()
        finally:
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, daemon=True).start()
    await ended.wait()


def stdin_ends() -> None:
    """Return when whoever started this process has gone: its standard input ends."""
    while os.read(0, 1 << 12):
        pass


def security_from_stdin() -> Security:
    """Return what a client that started this worker over SSH has written to its standard input.

    Raises :class:`UserError` for anything else.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_CREDENTIALS and (read := os.read(0, 1)):
        line += read
    try:
        data = json.loads(line)
        ca, cert, key = data["ca"], data["cert"], data["key"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "standard input holds no certificates", hint="toolkit matrix --ssh writes them there"
        ) from error
    return cluster.security(ca, cert, key)
