"""A folder that goes from one worker to another as the result of a job.

On its own host it is used where it lies. Only where Dask moves it to another worker is it packed
and sent, and unpacked below that worker's own store. It is removed when Dask lets go of it.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import uuid
import weakref
from pathlib import Path
from pickle import PickleBuffer
from typing import Any

from toolkit.core.deadline import Deadline
from toolkit.host import folders, process
from toolkit.matrix import worker_store

_SECONDS = 600.0  # to unpack one
_SOURCE_BYTES = 2 << 30


class Parcel:
    """A folder that belongs to a run of a matrix; nothing in it changes any more."""

    def __init__(self, run: str, path: Path) -> None:
        self.run, self.path = run, path
        self._size = folders.size(path)
        weakref.finalize(self, _remove, path, os.getpid())

    def __sizeof__(self) -> int:
        """Return the bytes that moving it takes; Dask weighs them against a wait."""
        return self._size

    def __reduce__(self) -> tuple[Any, ...]:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            tar.add(self.path, ".")
        # Out of band, so that nothing on the way copies it.
        return receive, (self.run, PickleBuffer(stream.getbuffer()))


def receive(run: str, content: PickleBuffer | bytes) -> Parcel:
    """Return the folder that another worker has sent."""
    place = worker_store.of_run(run) / "received" / uuid.uuid4().hex
    unpack(content, place)
    return Parcel(run, place)


def unpack(content: PickleBuffer | bytes, place: Path) -> None:
    """Unpack a tar file, packed or not, that came from the client or a worker into a new folder."""
    place.mkdir(parents=True)
    archive = place.with_suffix(".tar")
    argv = ["tar", "--extract", "--file", str(archive), "--directory", str(place)]
    try:
        archive.write_bytes(content)
        process.run([*argv, "--no-same-owner"], deadline=Deadline.after(_SECONDS))
    finally:
        archive.unlink(missing_ok=True)


def _remove(path: Path, pid: int) -> None:
    if pid == os.getpid():
        with contextlib.suppress(OSError):
            folders.remove(path)


class Source:
    """Says that a host has a kernel's source; another one has to fetch it, or to wait for this."""

    def __sizeof__(self) -> int:
        """Return what another host would have to bring and build, in bytes that Dask would send."""
        return _SOURCE_BYTES
