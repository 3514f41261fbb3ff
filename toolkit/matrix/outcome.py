"""How a job ended, as it goes from a worker to the client and into the client's folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from toolkit.core.errors import InfrastructureError
from toolkit.vm import snapshot
from toolkit.workflow import reproducer

MAX_BYTES = 1 << 30  # of one run folder
_LEVEL = 1  # of gzip: text shrinks to a tenth in any case


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. ``exit_code`` is as the toolkit's; of a build, what it gave is beside it."""

    name: str
    exit_code: int
    seconds: float
    worker: str
    message: str = ""  # the end of what it printed, where it has no verdict
    archive: bytes = b""  # its run folder, packed
    suites: tuple[tuple[str, tuple[str, ...]], ...] = ()  # what was built: suites, their programs
    memory_mib: int = 0  # that a machine of it needs


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, in the end, and after how many attempts."""

    outcome: Outcome
    attempts: int


def to_data(outcome: Outcome) -> dict[str, Any]:
    """Return all of it but the archive, for a JSON file."""
    data = asdict(replace(outcome, archive=b""))
    del data["archive"]
    return data


def of_data(data: Mapping[str, Any], archive: bytes = b"") -> Outcome | None:
    """Return what :func:`to_data` was given; None for anything else."""
    try:
        suites = tuple((name, tuple(programs)) for name, programs in data["suites"])
        return Outcome(**{**data, "suites": suites, "archive": archive})
    except (KeyError, TypeError, ValueError):
        return None


def pack(folder: Path) -> bytes:
    """Return a run folder as an archive; empty without one.

    What is of use on its own host alone is left out: the guest's keys, and where its build lay.
    """
    if not folder.is_dir():
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=_LEVEL) as tar:
        total = 0
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file() or _of_its_host(path.relative_to(folder)):
                continue
            total += path.stat().st_size
            if total > MAX_BYTES:
                break
            tar.add(path, str(path.relative_to(folder)))
    return stream.getvalue()


def _of_its_host(path: Path) -> bool:
    return path.parts[0] in (snapshot.KEYS, reproducer.BUILT)


def unpack(archive: bytes, folder: Path) -> None:
    """Put what :func:`pack` gave into ``folder``.

    Raises :class:`InfrastructureError` for what is no such archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not archive:
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for entry in _files(tar):
                target = folder / entry.name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(entry)
                assert source is not None  # it is a file
                target.write_bytes(source.read())
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InfrastructureError(f"a worker sent a damaged run folder: {error}") from error


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    total = 0
    for entry in tar:
        name = PurePosixPath(entry.name)
        total += entry.size
        if name.is_absolute() or ".." in name.parts or total > MAX_BYTES:
            raise InfrastructureError(f"a worker sent a run folder with {entry.name!r} in it")
        if entry.isfile():
            yield entry
