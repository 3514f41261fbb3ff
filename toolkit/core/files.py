"""Files that are whole or absent, whatever stops the writer, and such as people write by hand."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

from toolkit.core.errors import UserError

MAX_BYTES = 4 << 20  # of a file that is written by hand


def content(path: Path, limit: int) -> bytes:
    """Return what a file holds, which somebody named on the command line.

    Raises :class:`OSError` for one that cannot be read, has more than ``limit`` bytes, which are
    whole MiB, or is a pipe, a terminal or a device other than /dev/null: what comes from there may
    take for ever.
    """
    # Without O_NONBLOCK the opening of a pipe already waits for somebody who writes
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISFIFO(mode) or os.isatty(file.fileno()):
            kind = "a pipe" if stat.S_ISFIFO(mode) else "a terminal"
            raise OSError(errno.EINVAL, f"it is {kind}")
        if not stat.S_ISREG(mode) and status.st_rdev != Path(os.devnull).stat().st_rdev:
            raise OSError(errno.EINVAL, "it is a device")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit >> 20} MiB")
    return data


def text(path: Path, kind: str = "") -> str:
    """Return what a file holds that somebody has written by hand.

    Raises :class:`UserError` for one that cannot be read, is larger than :data:`MAX_BYTES` or is
    no UTF-8 text; ``kind`` is what it is in the error: "the profile".
    """
    try:
        return content(path, MAX_BYTES).decode()
    except OSError as error:
        problem = error.strerror or str(error)
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 text (byte {error.start})"
    what = f"cannot read {kind} {path}" if kind else f"cannot read {path}"
    raise UserError(f"{what}: {problem}", hint="name a text file that you may read")


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``parts``, one behind the other, in the place of whatever the file held.

    Who reads it meanwhile sees the old content or the new. Raises :class:`OSError` where the disk
    does not take it; the old content stays then, as with whatever ``parts`` raises.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
