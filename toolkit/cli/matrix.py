"""`toolkit matrix`: many runs as one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import crash, open_run, options
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.
if TYPE_CHECKING:
    from toolkit.core.model.matrix import MatrixResult
    from toolkit.core.paths import Paths
    from toolkit.matrix.addresses import Certificates
    from toolkit.matrix.cells import Matrix
    from toolkit.matrix.run import OpenPool
    from toolkit.report.matrix.display import Display


_PATIENCE = 120.0  # seconds to wait for a worker that can do a job
_QUEUED = 86_400.0  # the same where a queue may be long
_FILE = click.Path(dir_okay=False, path_type=Path)
_STATIONS = click.option(
    "--stations",
    type=click.IntRange(1),
    metavar="N",
    help="Jobs that a host does at a time, each on its share of the CPUs; default: one for every "
    "eight of them.",
)
_TLS = options.several(
    click.option("--tls-ca-file", type=_FILE, help="The authority of the team's certificates."),
    click.option("--tls-cert", type=_FILE, help="This side's certificate."),
    click.option("--tls-key", type=_FILE, help="Its key."),
)
_HOSTS = options.several(
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of a Dask scheduler: tls://HOST:PORT with the team's certificates, "
        "or the end of a tunnel on this host, tcp://localhost:PORT.",
    ),
    _TLS,
    click.option(
        "--ssh",
        "hosts",
        multiple=True,
        metavar="[USER@]HOST[:FOLDER]",
        help="Start a worker there, in the checkout FOLDER (by default where it lies here); again "
        "for more.",
    ),
    click.option(
        "--slurm",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Have Slurm start the workers that FILE asks for (docs/matrix.md).",
    ),
    click.option(
        "--listen",
        default="",
        metavar="ADDRESS|INTERFACE",
        help="With --ssh: where the hosts reach this one; default: any address of it.",
    ),
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "listing", is_flag=True, help="Print the cells, and run none.")
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put results; default: a new folder under the XDG state folder.",
)
@click.option("--fresh", is_flag=True, help="Begin anew, also where a run was interrupted.")
@_STATIONS
@_HOSTS
@click.pass_context
def matrix(context: click.Context, /, file: Path, *, listing: bool, **given: Any) -> None:
    """Run the matrix that FILE describes: series, kernels, configurations and suites.

    Each finished piece is stored at once: after ^C, or whatever else ends it, the same command goes
    on from there. docs/matrix.md says what the file may hold, and which hosts can join in.
    """
    from toolkit.core import paths
    from toolkit.matrix import cells, values
    from toolkit.report.matrix import display

    asked, places = cells.load(file), paths.resolve(context.obj)
    values.check(asked, places)
    if listing:
        for line in _listed(asked):
            click.echo(printable(line))
        return
    with crash.described(), display.open_display(sys.stderr) as shown:
        result, folder = _run(asked, file, places, given, shown)
    display.summary(result, folder, sys.stdout)
    context.exit(result.exit_code)


def _run(
    asked: Matrix, file: Path, places: Paths, given: dict[str, Any], shown: Display
) -> tuple[MatrixResult, Path]:
    from toolkit.matrix import run

    _require_dask()
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    open_pool, patience = _pool(places, given, shown)
    wanted = run.Asked(
        file,
        open_run.repeatable(sys.argv),
        given["run_dir"],
        given["fresh"],
        patience,
        step_summary=Path(page) if page else None,
    )
    return run.run(asked, wanted, places, open_pool, shown)


def _pool(places: Paths, given: dict[str, Any], shown: Display) -> tuple[OpenPool, float]:
    """Return what opens the pool that is asked for, and how long to wait for its workers."""
    from toolkit.core.errors import UserError
    from toolkit.matrix import addresses, cluster, remote

    count, address, hosts = given["stations"] or 0, given["scheduler"], given["hosts"]
    if sum(map(bool, (address, hosts, given["slurm"]))) > 1:
        raise UserError("--scheduler, --ssh and --slurm are different clusters", hint="name one")
    files = _certificates(given)
    if files and not address:
        raise UserError("certificates are for --scheduler", hint="leave them out")
    if address:
        address = addresses.checked(address, tls=files is not None)
        return remote.of_scheduler(address, files, shown.notice), _PATIENCE
    if hosts:
        parsed = [remote.Host.parse(each, places.root) for each in hosts]
        return remote.of_ssh(parsed, count, given["listen"], shown.notice), _PATIENCE
    if given["slurm"]:
        from toolkit.matrix import slurm

        return slurm.of_slurm(given["slurm"], places.root), _QUEUED
    return cluster.of_this_host(count), 0.0


@click.command()
@click.argument("address")
@_TLS
@click.option("--tls-from-stdin", is_flag=True, hidden=True, help="As toolkit matrix --ssh does.")
@click.option("--name", default="", help="What others are told of this host; default: its name.")
@click.option(
    "--listen",
    default="",
    metavar="ADDRESS|INTERFACE",
    help="Where others reach this host; default: any address of it.",
)
@_STATIONS
def worker(address: str, *, tls_from_stdin: bool, name: str, listen: str, **given: Any) -> None:
    """Do jobs of matrices on this host, for the Dask scheduler at ADDRESS, until ^C.

    It offers what this host has: builds, emulated machines, KVM, toolchains. docs/matrix.md says
    how a scheduler is started.
    """
    from toolkit.matrix import addresses

    _require_dask()
    from toolkit.matrix import remote
    from toolkit.matrix import worker as its

    files = _certificates(given)
    tls = tls_from_stdin or files is not None
    address = addresses.checked(address, tls=tls, tunnel=False)
    its.serve(
        address,
        its.security_from_stdin() if tls_from_stdin else remote.security_of(files),
        name=name,
        count=given["stations"] or 0,
        listen=addresses.listening(listen, tls=tls),
        notice=lambda line: click.echo(printable(line), err=True),
        until=its.stdin_ends if tls_from_stdin else None,
    )


def _certificates(given: dict[str, Any]) -> Certificates | None:
    from toolkit.matrix import addresses

    return addresses.certificates(given["tls_ca_file"], given["tls_cert"], given["tls_key"])


def _require_dask() -> None:
    import importlib.util

    from toolkit.core.errors import InfrastructureError

    if importlib.util.find_spec("distributed") is None:
        raise InfrastructureError(
            "Dask is not installed, which gives the jobs of a matrix to workers",
            hint="run ./bootstrap toolkit matrix …, or in the checkout pip install '.[matrix]'",
        )


def _listed(asked: Matrix) -> list[str]:
    from toolkit.matrix import cells, jobs

    axes = cells.varying(asked.cells) or ["series", "kernel"]
    rows = [(*axes, "settings")]
    for cell in asked.cells:
        values = (cells.shown(axis, getattr(cell, axis)) for axis in axes)
        rows.append((*values, cells.settings(cell)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    builds = len(jobs.groups(jobs.planned(asked.cells, asked.cells)))
    return [*lines, f"{_count(len(asked.cells), 'cell')}, {_count(builds, 'build')}"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
