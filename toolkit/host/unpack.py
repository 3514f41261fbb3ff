"""Unpack archives of source trees, and refuse those that would reach outside.

GNU tar does the work, with a separate xz: it is several times as fast as Python's tarfile, and
Python 3.11.2 lacks tarfile's safety filters.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, UserError
from toolkit.host import process

RECORD = 10240  # bytes that tar counts as one (tar's own blocking factor of 20)
_CHECKPOINT = 4000  # records between two reports: 40 MB

_ESCAPES = re.compile(r"Member name contains '\.\.'|Removing leading `[^']*' from")
_PREFIX = re.compile(r"^(\S*/)?tar: ")
_COUNT = re.compile(r"\[at (\d+)\]")
_XZ = b"\xfd7zXZ\x00"

Report = Callable[[int, int | None], None]  # bytes unpacked, bytes in all where known


def unpack(archive: Path, target: Path, report: Report, deadline: Deadline) -> None:
    """Unpack a tar archive, compressed by any program, as the new folder ``target``.

    A single folder at its top is left out. Raises :class:`UserError` for what is no archive or
    holds anything but files, folders and links inside it, and :class:`InfrastructureError` when
    the disk is full.
    """
    target.mkdir()
    inner = target.with_name(target.name + ".unpacking")
    inner.mkdir()
    argv = [
        "tar",
        *("--extract", "--file", str(archive), "--directory", str(inner)),
        *("--no-same-owner", "--no-same-permissions"),
        *(f"--checkpoint={_CHECKPOINT}", "--checkpoint-action=echo=[at %u]"),
    ]
    total = None
    if _is_xz(archive):
        total = _xz_size(archive, deadline)
        argv.append("--use-compress-program=xz -T0")
    refused = []

    def read(line: str) -> None:
        if match := _COUNT.search(line):
            report(min(int(match[1]) * RECORD, total or 1 << 62), total)
        elif _ESCAPES.search(line):
            refused.append(_PREFIX.sub("", line))

    try:
        environment = {"TAR_OPTIONS": None, "XZ_OPT": None, "XZ_DEFAULTS": None}
        process.run(argv, env=environment, deadline=deadline, merge=True, on_line=read)
    except ToolFailedError as error:
        if not refused:
            raise _failure(archive, error) from error
    entries = list(inner.iterdir())
    single = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    top = entries[0] if single else inner
    problem = refused[0] if refused else _foreign(top)
    if problem:
        raise UserError(
            f"{archive.name} is refused: {problem}",
            hint="a source archive may hold files, folders and links inside it, nothing else",
        )
    target.rmdir()
    top.rename(target)
    shutil.rmtree(inner, ignore_errors=True)


def _failure(archive: Path, error: ToolFailedError) -> Exception:
    if any("No space left" in line for line in error.detail):
        return InfrastructureError(
            f"the disk is full while {archive.name} is unpacked",
            hint="a kernel source needs 2 GB: free some space (toolkit cache prune)",
        )
    if error.status < 0:
        return error
    return UserError(
        f"{archive.name} cannot be unpacked: it is damaged or no tar archive",
        detail=[line for line in error.detail if not _COUNT.search(line)],
    )


def _is_xz(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(len(_XZ)) == _XZ


def _xz_size(archive: Path, deadline: Deadline) -> int | None:
    """Return what ``archive`` holds unpacked, in bytes, from the index at its end (xz(1))."""
    done = process.run(["xz", "--robot", "--list", str(archive)], deadline=deadline, check=False)
    for line in done.text.splitlines():
        fields = line.split("\t")
        if fields[0] == "totals" and len(fields) > 4 and fields[4].isdigit():
            return int(fields[4])
    return None


def _foreign(root: Path) -> str:
    """Return what is wrong with an unpacked tree, or an empty text."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_symlink():
                    link = str(Path(entry.path).readlink())
                    ends = posixpath.normpath(posixpath.join(prefix, link))
                    if link.startswith("/") or ends.split("/")[0] == "..":
                        return f"{path!r} is a link out of it, to {link!r}"
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(path + "/")
                elif not entry.is_file(follow_symlinks=False):
                    return f"{path!r} is a device or a pipe"
    return ""


def deb_member(deb: Path, member: str, target: Path, deadline: Deadline) -> None:
    """Copy the file ``member`` of a Debian package to ``target``.

    Raises :class:`InfrastructureError` when it is not in there.
    """
    child = process.start(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=process.PIPE)
    try:
        with tarfile.open(fileobj=child.stdout, mode="r|") as tar:
            for info in tar:
                deadline.check(f"reading {deb.name}")
                if posixpath.normpath(info.name).lstrip("/") == member and info.isreg():
                    source = tar.extractfile(info)
                    assert source is not None  # it is a regular file
                    with source, target.open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
                    return
    except tarfile.TarError as error:
        raise InfrastructureError(f"{deb.name} cannot be read: {error}") from error
    finally:
        process.stop(child)
        if child.stdout:
            child.stdout.close()
    raise InfrastructureError(f"{deb.name} has no {member}")
