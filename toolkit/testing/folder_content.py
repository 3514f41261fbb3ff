"""What the files of a suite's folder hold, for the key of what is built from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.errors import UserError
from toolkit.host.cache import digest

MAX_BYTES = 1 << 30  # of a folder
_MAX_FILES = 100_000
_LEFT_OUT = ".git"  # which changes with every commit, and is not copied either


def digests(folder: Path, hint: str = "") -> dict[str, str]:
    """Return a digest of each file of ``folder`` by its path in it, as rsync copies them.

    With ``--copy-unsafe-links`` that is: what a link out of the folder leads to counts as if it lay
    there. Whether a file can be executed counts as well. Raises :class:`UserError` with ``hint``
    for more than ``MAX_BYTES``, for what cannot be read, and for links that go round in a circle.
    """
    contents: dict[str, str] = {}
    total = 0
    try:
        for path in _files(folder, folder.resolve(), ()):
            status = path.stat()
            total += status.st_size
            if total > MAX_BYTES or len(contents) == _MAX_FILES:
                most = f"{MAX_BYTES >> 20} MiB or {_MAX_FILES} files"
                raise UserError(f"{folder} has more than {most}", hint=hint)
            executable = ["executable"] if status.st_mode & 0o111 else []
            contents[str(path.relative_to(folder))] = digest(path.read_bytes(), *executable)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}", hint=hint) from error
    return contents


def _files(top: Path, root: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files below ``top``; ``above`` are the folders that links led to it from."""
    for folder, folders, names in os.walk(top, onerror=_fail):
        below = sorted(Path(folder, name) for name in folders if name != _LEFT_OUT)
        folders[:] = [path.name for path in below if not path.is_symlink()]
        yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())
        for link in (path for path in below if path.is_symlink()):
            target = link.resolve()
            if target.is_relative_to(root):
                continue  # a copy has the link, and what it leads to is counted where it lies
            here = (*above, Path(folder).resolve())
            if any(each.is_relative_to(target) for each in here):
                raise UserError(f"{link} leads to a folder that it lies in: {target}")
            yield from _files(link, root, here)


def _fail(error: OSError) -> None:
    raise error
