"""A cluster whose workers are jobs of Slurm, by dask-jobqueue.

Imported where both are installed alone.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import dask
import dask.utils
from dask_jobqueue import SLURMCluster
from dask_jobqueue.slurm import SLURMJob
from distributed import Client, Security
from pydantic import AfterValidator, Field

from toolkit.core import paths
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.text import printable
from toolkit.formats import manifest
from toolkit.formats.manifest import Manifest
from toolkit.host import process
from toolkit.matrix import cluster
from toolkit.matrix.dask_pool import DaskPool
from toolkit.matrix.pool import Pool
from toolkit.matrix.run import OpenPool

_LEAST = 1 << 20  # bytes of a worker's memory: less is a number without its unit


def _bytes(text: str) -> str:
    try:
        size = dask.utils.parse_bytes(text)
    except (ValueError, OverflowError):
        size = 0
    if size < _LEAST:
        raise ValueError(f"{text!r} is no memory for a worker: write it as 16GiB")
    return text


Text = Annotated[str, Field(min_length=1)]
Size = Annotated[str, AfterValidator(_bytes)]


class SlurmManifest(Manifest):
    """What the file of ``--slurm`` may say: of each of its jobs, which has a host's worker."""

    jobs: int = Field(ge=1, le=10_000)
    cores: int = Field(ge=1, le=10_000)
    memory: Size  # as Dask reads it: 16GiB
    walltime: Text = "08:00:00"
    partition: str = ""
    account: str = ""
    directives: tuple[Text, ...] = ()  # further lines: --constraint=kvm
    prologue: tuple[Text, ...] = ()  # lines of shell before the worker
    folder: str = ""  # the checkout on the nodes; default: where it lies here
    shared: str = ""  # a folder that the nodes see, for certificates; default: the home's .toolkit
    interface: str = ""  # on which nodes and this host see each other, as eth0
    stations: int = Field(default=0, ge=0, le=10_000)  # as --stations; 0: by the cores


class _Job(SLURMJob):  # type: ignore[misc]
    """A job of Slurm that runs the toolkit's own worker."""

    folder = ""
    stations = 0
    listen = ""

    def __init__(self, scheduler: str, name: str, *args: Any, **options: Any) -> None:
        super().__init__(scheduler, name, *args, **options)
        tls = options["security"].get_tls_config_for_role("worker")
        words = [".venv/bin/python", "-m", "toolkit", "worker", scheduler, "--name", str(name)]
        for key in ("ca_file", "cert", "key"):
            words += [f"--tls-{key.replace('_', '-')}", tls[key]]
        if self.stations:
            words += ["--stations", str(self.stations)]
        if self.listen:
            words += ["--listen", self.listen]
        self._command_template = f"cd {shlex.quote(self.folder)} && exec {shlex.join(words)}"


def _security(folder: Path) -> Any:
    """Return a key for one run, in files that the nodes see."""
    made = Security.temporary()
    files = {}
    for name in ("ca_file", "worker_cert", "worker_key"):
        files[name] = folder / f"{name}.pem"
        files[name].touch(mode=0o600)
        files[name].write_text(getattr(made, f"tls_{name}"))
    return cluster.security(*map(str, files.values()))


def job_class(folder: str, stations: int = 0, listen: str = "") -> type[_Job]:
    """Return the class of jobs that start a worker in the checkout ``folder``."""
    return type("Job", (_Job,), {"folder": folder, "stations": stations, "listen": listen})


def of_slurm(file: Path, folder: Path) -> OpenPool:
    """Return what has Slurm start the workers that ``file`` asks for, and opens a pool of them.

    ``folder`` is where the checkout lies here. Raises :class:`UserError` for faults in the file;
    opening the pool raises it, too, where the folder for certificates cannot be made.
    """
    asked = manifest.load(file, SlurmManifest)
    interfaces = [name for _, name in socket.if_nameindex()]
    if asked.interface and asked.interface not in interfaces:
        raise UserError(
            f"{file}: this host has no interface {asked.interface!r}",
            hint=f"it has {', '.join(interfaces)}",
        )
    process.find("sbatch", "slurm-client")
    job = job_class(asked.folder or str(folder), asked.stations, asked.interface)
    its_cluster = type("Cluster", (SLURMCluster,), {"job_cls": job})
    shared = paths.expand(asked.shared or "~/.toolkit")

    @contextlib.contextmanager
    def opened(run: str, archive: bytes) -> Iterator[Pool]:
        cluster.quiet()
        try:
            shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{file}: cannot make the folder {shared}: {error.strerror}",
                hint="name with `shared` a folder that the nodes see and that you may write to",
            ) from error
        with (
            tempfile.TemporaryDirectory(prefix="tls-", dir=shared) as private,
            dask.config.set(cluster.SETTINGS),
            its_cluster(
                queue=asked.partition or None,
                account=asked.account or None,
                cores=asked.cores,
                memory=asked.memory,
                processes=1,
                walltime=asked.walltime,
                job_extra_directives=list(asked.directives),
                job_script_prologue=list(asked.prologue),
                interface=asked.interface or None,
                protocol="tls://",
                security=_security(Path(private)),
                scheduler_cls=cluster.QuietScheduler,
                log_directory=private,
            ) as its,
        ):
            try:
                its.scale(jobs=asked.jobs)
                with Client(its, set_as_default=False) as client:
                    yield DaskPool(client, run, archive)
            except RuntimeError as error:  # what dask-jobqueue raises where sbatch fails
                raise InfrastructureError(f"Slurm refuses: {printable(str(error))}") from error

    return opened
