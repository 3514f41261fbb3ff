"""A disk that hands archives to a guest: modules, test programs.

Over SSH the same bytes are encrypted on one side and decrypted on the other, which takes an
emulated guest 0.15 s a MiB. So the host writes the archive to the disk's beginning, and the guest
is told to unpack it from there.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from toolkit.core.errors import InfrastructureError
from toolkit.vm.qemu_argv import PAYLOAD_SERIAL

SIZE = 4 << 30  # bytes; a hole, but for what is written
UNPACK = "tar -x -C / -f -"
_BLOCK = 256 << 10  # bytes that a guest reads at a time
_OPTION = "CONFIG_VIRTIO_BLK=y"


@contextlib.contextmanager
def blank(folder: Path) -> Iterator[Path]:
    """Yield the path of an empty disk, which takes space in ``folder`` but has no name there.

    It goes away when the block is left, and when the toolkit is killed. Raises
    :class:`InfrastructureError` when it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            file.truncate(SIZE)
        except OSError as error:
            raise InfrastructureError(f"cannot make a file in {folder}: {error}") from error
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")  # proc(5): others open it there


def readable(config: str) -> bool:
    """Return whether a kernel with this configuration can read such a disk without a module."""
    return _OPTION in config.splitlines()


def write(disk: Path, write_archive: Callable[[BinaryIO], object]) -> int:
    """Have ``write_archive`` write a tar archive at the beginning of a disk; return its bytes.

    tar does not read beyond an archive's end. Raises :class:`InfrastructureError` when it cannot be
    made, or does not fit.
    """
    try:
        with disk.open("r+b") as file:
            write_archive(file)
            size = file.tell()
    except OSError as error:
        raise InfrastructureError(f"cannot write an archive for a guest: {error}") from error
    if size > SIZE:
        raise InfrastructureError(f"{size} bytes do not fit on a guest's disk of {SIZE}")
    return size


def unpacking(size: int) -> str:
    """Return the shell command that unpacks an archive of ``size`` bytes at the guest's root.

    The guest bypasses its page cache, which may hold an earlier archive. If it cannot read, tar
    gets no input and fails.
    """
    blocks = -(-size // _BLOCK)
    return (
        "for disk in /sys/block/*; do read -r name <$disk/serial; "
        f'[ "$name" = {PAYLOAD_SERIAL} ] && break; done 2>/dev/null; '
        f"dd if=/dev/${{disk##*/}} bs={_BLOCK} count={blocks} iflag=direct status=none | {UNPACK}"
    )
