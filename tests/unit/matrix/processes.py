"""A scheduler, workers and clients as processes of their own, to be killed.

``python -m tests.unit.matrix.processes worker ADDRESS NAME TOOLKIT`` and ``client ADDRESS FILE
FOLDER`` are what two of them run; a folder of certificates may follow. ``checkout TOOLKIT …`` is
what the Python of another host's checkout runs, which ssh or Slurm starts with the words that
follow.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds for whatever a test waits for


def wait(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


@dataclass
class Processes:
    """Starts processes, and kills those that are left at the end."""

    folder: Path
    tls: Path | None = None  # a folder with ca.pem, cert.pem and key.pem
    port: int = 0
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def _start(self, *words: str, state: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / state)}
        log = (self.folder / f"{state}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, *words], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
        self.started.append(process)
        return process

    @property
    def address(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start one, at the same port as the last."""
        log = self.folder / "scheduler.log"
        log.unlink(missing_ok=True)
        words = ["-m", "distributed.cli.dask_scheduler", "--host", self.address.replace(":0", "")]
        words += ["--port", str(self.port), "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        if self.tls:
            words += ["--tls-ca-file", str(self.tls / "ca.pem")]
            words += [
                "--tls-cert",
                str(self.tls / "cert.pem"),
                "--tls-key",
                str(self.tls / "key.pem"),
            ]
        process = self._start(*words, state="scheduler")
        wait(lambda: "Scheduler at:" in log.read_text(), "the scheduler")
        line = next(line for line in log.read_text().splitlines() if "Scheduler at:" in line)
        self.port = int(line.rpartition(":")[2])
        return process

    def worker(self, name: str, toolkit: Path) -> subprocess.Popen[bytes]:
        words = ["worker", self.address, name, str(toolkit)]
        return self._start("-m", __name__, *words, *self._tls(), state=name)

    def client(self, file: Path, folder: Path, state: str = "client") -> subprocess.Popen[bytes]:
        words = ["client", self.address, str(file), str(folder)]
        return self._start("-m", __name__, *words, *self._tls(), state=state)

    def _tls(self) -> list[str]:
        return [str(self.tls)] if self.tls else []

    def log(self, state: str) -> str:
        return (self.folder / f"{state}.log").read_text()


@contextmanager
def processes(folder: Path, tls: Path | None = None) -> Iterator[Processes]:
    its = Processes(folder, tls)
    try:
        yield its
    finally:
        for process in its.started:
            process.kill()
        for process in its.started:
            process.wait()


# What a worker of such a name does not offer; any other one has everything.
_LACKS = {"builder": ("VM x86_64",), "tester": ("build x86_64", "kernel sources")}


# --- what they run -----------------------------------------------------------------------------


def _certificates(words: list[str]) -> Any:
    from toolkit.matrix.addresses import Certificates

    if not words:
        return None
    folder = Path(words[0])
    return Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


def _stand_in(script: str, lacks: tuple[str, ...] = ()) -> None:
    """Have this process's stations call ``script`` instead of the toolkit, and offer anything."""
    from tests.unit.matrix.test_cluster import EVERYTHING
    from toolkit.matrix import cluster, offers, station
    from toolkit.matrix.station import Station

    station._POLL = 0.02
    offered = {key: amount for key, amount in EVERYTHING.items() if key not in lacks}
    offers.of_this_host = lambda *_: offered
    cluster.stations = lambda name, count: [Station(name, command=(script,))]


def _checkout(script: str, *words: str) -> None:
    from toolkit.cli import main

    _stand_in(script)
    sys.argv = [str(PROJECT / "toolkit"), *words[words.index("worker") :]]
    main.main()


def _worker(address: str, name: str, script: str, *tls: str) -> None:
    from toolkit.matrix import remote, worker

    _stand_in(script, _LACKS.get(name, ()))
    security = remote.security_of(_certificates(list(tls)))
    worker.serve(address, security, name=name, count=1, listen="127.0.0.1", notice=print)


def _client(address: str, file: str, folder: str, *tls: str) -> None:
    from toolkit.core import paths
    from toolkit.core.errors import ToolkitError
    from toolkit.matrix import cells, dask_pool, remote, run
    from toolkit.report.matrix.display import Display

    dask_pool._LOOK = 0.1
    display = Display(io.TextIOWrapper(sys.stdout.buffer, write_through=True))
    asked = run.Asked(Path(file), ("toolkit",), Path(folder), patience=PATIENCE)
    pool = remote.of_scheduler(address, _certificates(list(tls)), print)
    try:
        result, _ = run.run(cells.load(Path(file)), asked, paths.resolve(PROJECT), pool, display)
    except ToolkitError as error:
        print(f"{error.what}; {error.hint}", flush=True)
        sys.exit(error.exit_code)
    sys.exit(result.exit_code)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {
        "worker": _worker,
        "client": _client,
        "checkout": _checkout,
    }
    roles[sys.argv[1]](*sys.argv[2:])
