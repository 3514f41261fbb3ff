"""Entries of the cache as single files: what tar and zstd make of a folder.

In the pax form, for times of a fraction of a second: a kernel's source is recognized by them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.host import process

_CHUNK = 1 << 20
_ENVIRONMENT = {"TAR_OPTIONS": None, "ZSTD_CLEVEL": None, "ZSTD_NBTHREADS": None}


def pack(folder: Path, target: Path, deadline: Deadline, without: str) -> None:
    """Write a folder to the file ``target``, but for the file ``without`` at its top."""
    process.find("zstd")
    argv = [
        *("tar", "--create", "--format=posix", "--sparse", "--sort=name", "--numeric-owner"),
        *(f"--exclude=./{without}", "--use-compress-program=zstd -q -T0 -3"),
        *("--file", str(target), "--directory", str(folder), "."),
    ]
    process.run(argv, deadline=deadline, env=_ENVIRONMENT)


def unpack(archive: Path, folder: Path, deadline: Deadline) -> None:
    """Fill an empty folder from a file that :func:`pack` wrote."""
    process.find("zstd")
    argv = [
        *("tar", "--extract", "--same-permissions", "--no-same-owner"),
        *("--use-compress-program=zstd -q", "--file", str(archive), "--directory", str(folder)),
    ]
    process.run(argv, deadline=deadline, env=_ENVIRONMENT)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    state = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
