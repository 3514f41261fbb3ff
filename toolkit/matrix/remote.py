"""Clusters of several hosts: a scheduler that is there, or workers that are started over SSH.

Imported where Dask is installed alone.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Security, SpecCluster

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.text import printable
from toolkit.host import process
from toolkit.host.process import Child
from toolkit.matrix import cluster
from toolkit.matrix.addresses import Certificates
from toolkit.matrix.dask_pool import DaskPool
from toolkit.matrix.pool import Pool
from toolkit.matrix.run import OpenPool

_CONNECT = "20s"
_STOP_SECONDS = 40.0  # for the workers to stop their machines
_MAX_LOG = 1 << 12  # bytes at the end of what ssh printed, of which
_LINES = 4  # so many lines are shown

Notice = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Host:
    """A host to be reached over SSH, as ssh takes it, and the checkout's folder there."""

    name: str
    folder: str

    @classmethod
    def parse(cls, text: str, folder: Path) -> Host:
        """Return what ``[USER@]HOST[:FOLDER]`` names; ``folder`` is the default."""
        name, _, own = text.partition(":")
        if not name or name.startswith("-") or any(char.isspace() for char in name):
            raise UserError(f"{text!r} names no host", hint="write [USER@]HOST[:FOLDER]")
        return cls(name, own or str(folder))


def security_of(files: Certificates | None) -> Security | None:
    """Return what Dask needs to talk with a team's certificates."""
    if files is None:
        return None
    for file in (files.ca, files.cert, files.key):
        if not file.is_file():
            raise UserError(f"there is no certificate {file}")
    return cluster.security(str(files.ca), str(files.cert), str(files.key))


def of_scheduler(address: str, files: Certificates | None, notice: Notice) -> OpenPool:
    """Return what opens a pool of the workers of a scheduler that is there."""
    security = security_of(files)

    @contextlib.contextmanager
    def opened(run: str, archive: bytes) -> Iterator[Pool]:
        cluster.quiet()
        notice(f"connecting to the scheduler at {address}, for {_CONNECT} at most")
        try:
            client = Client(address, security=security, timeout=_CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InfrastructureError(
                f"the scheduler at {address} cannot be reached: {printable(str(error))}",
                hint="is it there, and are the certificates those of its authority?",
            ) from error
        with client:
            yield DaskPool(client, run, archive)

    return opened


def of_ssh(hosts: Sequence[Host], count: int, listen: str, notice: Notice) -> OpenPool:
    """Return what starts a worker on each host over SSH, and opens a pool of them.

    The scheduler is in this process and listens at the address or interface ``listen``, or at all
    of this host's. Everybody has a key that is made for this run: nobody else can talk to it.
    """

    @contextlib.contextmanager
    def opened(run: str, archive: bytes) -> Iterator[Pool]:
        cluster.quiet()
        security = Security.temporary()
        host = cluster.address_of(listen)
        options = {"protocol": "tls://", "host": host, "security": security, "port": 0}
        with (
            dask.config.set(cluster.SETTINGS),
            SpecCluster(
                workers={},
                scheduler={"cls": cluster.QuietScheduler, "options": options},
                security=security,
                name="ssh",
            ) as its,
            Client(its, set_as_default=False) as client,
            _workers(hosts, its.scheduler_address, security, count, notice),
        ):
            yield DaskPool(client, run, archive)

    return opened


@contextlib.contextmanager
def _workers(
    hosts: Sequence[Host], address: str, security: Any, count: int, notice: Notice
) -> Iterator[None]:
    """Keep a worker on each host until the block ends; each ends with its connection, too."""
    credentials = json.dumps(
        {
            "ca": security.tls_ca_file,
            "cert": security.tls_worker_cert,
            "key": security.tls_worker_key,
        }
    )
    ended = threading.Event()
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="toolkit-ssh-") as name:
        try:
            for number, host in enumerate(hosts):
                log = Path(name) / str(number)
                child = _start(host, address, count, log)
                children.append(child)
                assert child.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # _tell_end says that it failed
                    child.stdin.write(f"{credentials}\n".encode())
                    child.stdin.flush()
                watch = (host, child, log, ended, notice)
                threading.Thread(target=_tell_end, args=watch, daemon=True).start()
            yield
        finally:
            ended.set()
            _stop(children)


def _start(host: Host, address: str, count: int, log: Path) -> Child:
    words = [".venv/bin/python", "-m", "toolkit", "worker", address, "--tls-from-stdin"]
    words += ["--name", host.name]
    if count:
        words += ["--stations", str(count)]
    folder = host.folder if host.folder.startswith("~") else shlex.quote(host.folder)
    command = f"cd {folder} && exec {shlex.join(words)}"
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"]
    argv = [process.find("ssh", "openssh-client"), *options, host.name, command]
    with log.open("wb") as stream:
        return process.start(argv, stdin=process.PIPE, stdout=stream, stderr=stream)


def _stop(children: Sequence[Child]) -> None:
    """End workers by their standard input, all at once, and then their connections."""
    for child in children:
        if child.stdin:
            with contextlib.suppress(OSError):
                child.stdin.close()
    limit = Deadline.after(_STOP_SECONDS)
    for child in children:
        process.wait(child, limit.remaining())
        process.stop(child)


def _tell_end(host: Host, child: Child, log: Path, ended: threading.Event, notice: Notice) -> None:
    while not ended.wait(0.5):
        if child.poll() is not None:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - _MAX_LOG))
                lines = file.read().decode(errors="replace").strip().splitlines()[-_LINES:]
            notice(f"{host.name}: its worker ended ({child.returncode}): {' / '.join(lines)}")
            return
