"""Copies one file from or to a place of fsspec's: a program, so that a store can hang and be left.

    python -m toolkit.host.shared.transfer get URL FILE BYTES    at most so many
    python -m toolkit.host.shared.transfer put FILE URL

Exit status 0 when it is done, 3 when there is no such file to get, and 1 otherwise, with the reason
on standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ABSENT = 3
_CHUNK = 1 << 20


def get(url: str, target: Path, limit: int) -> None:
    """Copy what is at ``url``; raises :class:`ValueError` where that is larger than ``limit``."""
    import fsspec  # noqa: PLC0415 - slow to import, and only this program needs it

    store, path = fsspec.core.url_to_fs(url)
    done = 0
    with store.open(path, "rb") as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise ValueError(f"{url} is larger than {limit} bytes")
            file.write(chunk)


def put(source: Path, url: str) -> None:
    """Copy a file to ``url``, where it is whole or absent."""
    import fsspec  # noqa: PLC0415

    store, path = fsspec.core.url_to_fs(url)
    if "s3" in store.protocol:  # where a file is not seen before it is whole
        store.put_file(str(source), path)
        return
    folder, _, name = path.rpartition("/")
    store.makedirs(folder, exist_ok=True)  # in S3 it would make a bucket
    temporary = f"{folder}/.{name}.{os.getpid()}"
    try:
        store.put_file(str(source), temporary)
        store.mv(temporary, path)
    except BaseException:
        if store.exists(temporary):
            store.rm(temporary)
        raise


def main(argv: list[str]) -> int:
    """Do what the command line says."""
    try:
        match argv:
            case ["get", url, target, limit]:
                get(url, Path(target), int(limit))
            case ["put", source, url]:
                put(Path(source), url)
            case _:
                raise ValueError(f"unknown: {argv}")
    except Exception as error:  # noqa: BLE001 - stores have exceptions of their own
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        # To write, it is the folder or the bucket that is not there.
        absent = isinstance(error, FileNotFoundError) and argv[:1] == ["get"]
        return ABSENT if absent else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
