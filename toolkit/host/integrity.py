"""Whether the files of a folder are as they were.

There are two ways to check: a digest of every file, and, for a kernel's source, whose 90,000 files
take seconds to read, every file's size and time of change.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

STAMPS = ".stamps"  # the listing of a tree, beside it
_CHUNK = 1 << 20
_BLOCK = 1 << 18
_ZEROS = bytes(_BLOCK)
_SPARSE = "sparse "  # before the digest of a file with holes, which goes by its blocks


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file below ``folder`` by its path; of a link, of where it points.

    Takes as long as it takes to read them all, but for holes.
    """
    return {
        path: _digest(folder, path, sparse=info.st_blocks * 512 < info.st_size)
        for path, info in walk(folder)
    }


def damage(folder: Path, digests: dict[str, str]) -> str:
    """Return a few words on a file that does not have its digest, or "" if all have."""
    for path, digest in digests.items():
        try:
            if _digest(folder, path, sparse=digest.startswith(_SPARSE)) != digest:
                return f"{path} has changed"
        except FileNotFoundError:
            return f"{path} is missing"
    return ""


def remember_stamps(tree: Path) -> None:
    """Record the size and the time of change of every file below ``tree``, beside it."""
    tree.with_name(STAMPS).write_bytes(_listing(tree))


def stamp_damage(tree: Path) -> str:
    """Return a few words on a file of ``tree`` that is gone or was written to, or "".

    A tree without stamps counts as intact.
    """
    try:
        recorded = tree.with_name(STAMPS).read_bytes()
    except FileNotFoundError:
        return ""
    if _fingerprint(_lines(recorded)) == _fingerprint(_stamps(tree)):
        return ""
    before, after = (dict(_parsed(listing)) for listing in (recorded, _listing(tree)))
    for path in sorted(before):
        if before[path] != after.get(path):
            how = "has changed" if path in after else "is missing"
            return f"{os.fsdecode(path)} {how}"
    return ""  # a file that was added does no harm


def _listing(tree: Path) -> bytes:
    return b"\0".join(sorted(_stamps(tree)))


def _stamps(tree: Path) -> Iterator[bytes]:
    for path, info in walk(tree):
        yield b"%d %d %s" % (info.st_size, info.st_mtime_ns, os.fsencode(path))


def _lines(listing: bytes) -> Iterator[bytes]:
    at = 0
    while (end := listing.find(b"\0", at)) >= 0:
        yield listing[at:end]
        at = end + 1
    if listing:
        yield listing[at:]


def _fingerprint(lines: Iterable[bytes]) -> tuple[int, int]:
    """Return how many lines there are, and the sum of their hashes, in whatever order they come.

    A kernel's tree has 90,000: all of them at once would take 30 MiB, in every run.
    """
    count = total = 0
    for line in lines:
        count += 1
        total += hash(line)
    return count, total


def _parsed(listing: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in listing.split(b"\0"):
        size, _, rest = line.partition(b" ")
        time, _, path = rest.partition(b" ")
        yield path, size + b" " + time


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and the status of each file below ``folder``; a link is a file."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name, entry.stat(follow_symlinks=False)


def blocks(file: io.FileIO) -> Iterator[tuple[int, bytes]]:
    """Yield each block of a file that is not all zeros, with its offset.

    Where a file system says that data lies may change with time, so it is only a hint.
    """
    offset = 0
    while True:
        try:
            data = os.lseek(file.fileno(), offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        offset = data - data % _BLOCK
        block = os.pread(file.fileno(), _BLOCK, offset)
        if not block:
            return
        if block != _ZEROS[: len(block)]:
            yield offset, block
        offset += _BLOCK


def _digest(folder: Path, path: str, *, sparse: bool) -> str:
    file = folder / path
    if file.is_symlink():
        return "-> " + os.fsencode(file.readlink()).decode(errors="backslashreplace")
    state = hashlib.blake2b(digest_size=16)
    with file.open("rb", buffering=0) as data:
        if sparse:
            state.update(os.fstat(data.fileno()).st_size.to_bytes(8, "little"))
            for offset, block in blocks(data):
                state.update(offset.to_bytes(8, "little") + block)
            return _SPARSE + state.hexdigest()
        while chunk := data.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
