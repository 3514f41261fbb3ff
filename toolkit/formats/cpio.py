"""Writes and reads cpio archives of the kind the kernel unpacks as its initramfs ("newc").

Everything belongs to root and carries no time, whoever packs it and whenever: the same entries
give the same bytes. The format:
Documentation/driver-api/early-userspace/buffer-format.rst in the kernel tree.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_HEADER_SIZE = 6 + 13 * 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the archive. ``mode`` has the file type; a link's target is its ``content``."""

    path: str  # without a slash at either end
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)  # major and minor, for a device node

    @property
    def target(self) -> str:
        """Where a symbolic link points."""
        return self.content.decode()


def folder(path: str, permissions: int = 0o755) -> Entry:
    """Return the entry of a folder."""
    return Entry(path.strip("/"), stat.S_IFDIR | permissions)


def file(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """Return the entry of a regular file."""
    return Entry(path.strip("/"), stat.S_IFREG | permissions, content)


def link(path: str, target: str) -> Entry:
    """Return the entry of a symbolic link."""
    return Entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, permissions: int, major: int, minor: int) -> Entry:
    """Return the entry of a character device; no privilege is needed to write one here."""
    return Entry(path.strip("/"), stat.S_IFCHR | permissions, device=(major, minor))


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Return ``entries`` sorted by name, with a folder (mode 755) for each parent not listed.

    Of two entries with one name the later one stays. The kernel makes no parents of its own.
    """
    by_path = {entry.path: entry for entry in entries}
    for path in list(by_path):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            by_path.setdefault(parent, folder(parent))
    return [by_path[path] for path in sorted(by_path)]


def pack(entries: Iterable[Entry]) -> bytes:
    """Return the archive of ``entries`` in the order given; parents come before children."""
    parts = [_record(entry, number) for number, entry in enumerate(entries, start=1)]
    parts.append(_record(Entry(_TRAILER, 0), 0))
    return b"".join(parts)


def _record(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device of the file, device it stands for,
    # length of the name, checksum (not used in this format)
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device)
    numbers = "".join(f"{field:08X}" for field in (*fields, len(name), 0))
    return _padded(_MAGIC + numbers.encode() + name) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def unpack(archive: bytes) -> list[Entry]:
    """Return the entries of an archive made by :func:`pack`; ValueError when it is damaged."""
    entries: list[Entry] = []
    position = 0
    while True:
        header = archive[position : position + _HEADER_SIZE]
        if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
            raise ValueError(f"no cpio header at byte {position}")
        numbers = [int(header[at : at + 8], 16) for at in range(6, _HEADER_SIZE, 8)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name_at = position + _HEADER_SIZE
        name = archive[name_at : name_at + name_size - 1].decode()
        if name == _TRAILER:
            return entries
        content_at = name_at + name_size + -(name_at + name_size) % 4
        content = archive[content_at : content_at + size]
        if len(content) < size:
            raise ValueError(f"{name} is cut short")
        entries.append(Entry(name, mode, content, (numbers[9], numbers[10])))
        position = content_at + size + -size % 4
