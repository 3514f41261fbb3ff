"""Reads from an ELF file what machine it is for, which shared libraries it wants, a section."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x7fELF"
_MSB = 2  # in the byte of an ELF file that says how its numbers are stored
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_SHT_NOBITS = 8
_SHN_XINDEX = 0xFFFF
_SECTION = struct.Struct("<IIQQQQI")  # the head of Elf64_Shdr: name, type, flags, …, link


@dataclass(frozen=True, slots=True)
class Wants:
    """What the loader looks for: sonames, and the loader's own path ("" when static)."""

    libraries: tuple[str, ...] = ()
    interpreter: str = ""


def machine(data: bytes) -> int:
    """Return the number of the machine that an ELF file is for, by elf(5); -1 where it is cut."""
    if len(data) < 0x14:
        return -1
    (number,) = struct.unpack_from(">H" if data[5] == _MSB else "<H", data, 0x12)
    return int(number)


def wants(data: bytes) -> Wants:
    """Return what a little-endian 64-bit ELF file needs; nothing for a file of any other kind.

    Layout and numbers: elf(5). A file that claims to be ELF and is cut short is a ValueError.
    """
    if data[:6] != MAGIC + b"\x02\x01":
        return Wants()
    with damage():
        return _read(data)


def section(data: bytes, name: str) -> bytes:
    """Return what a section of a little-endian 64-bit ELF file holds; nothing where it has none.

    A file of any other kind, or one that is damaged, is a ValueError.
    """
    if data[:6] != MAGIC + b"\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    with damage():
        return _find_section(data, name.encode() + b"\0")


@contextlib.contextmanager
def damage() -> Iterator[None]:
    """Make whatever reading a damaged file's bytes may raise a ValueError that says so."""
    try:
        yield
    # Python has no index beyond 63 bits: that is an OverflowError.
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged ELF file: {error}") from error


def _find_section(data: bytes, name: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    if not table:
        return b""
    first = _SECTION.unpack_from(data, table)
    # Numbers that 16 bits do not hold stand in the first section's header.
    count = count or first[5]
    names = first[6] if names == _SHN_XINDEX else names
    if size < _SECTION.size or count * size > len(data) - table:
        raise IndexError("the table of sections is cut short")
    if names >= count:
        raise IndexError("there is no section with the sections' names")
    strings = _SECTION.unpack_from(data, table + names * size)[4]
    for number in range(count):
        at, kind, _, _, offset, length, _ = _SECTION.unpack_from(data, table + number * size)
        start = strings + at
        if kind != _SHT_NOBITS and data[start : start + len(name)] == name:
            if offset + length > len(data):
                raise IndexError("the section is cut short")
            return data[offset : offset + length]
    return b""


def _read(data: bytes) -> Wants:
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    segments = []  # type, offset in the file, address, size in the file
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", data, table + number * size
        )
        segments.append((kind, offset, address, length))
    interpreter = ""
    needed: list[int] = []
    strings = 0
    for kind, offset, _, length in segments:
        if kind == _PT_INTERP:
            interpreter = data[offset : offset + length].rstrip(b"\0").decode()
        if kind == _PT_DYNAMIC:
            for at in range(offset, offset + length, 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                if tag == _DT_NULL:
                    break
                if tag == _DT_NEEDED:
                    needed.append(value)
                if tag == _DT_STRTAB:
                    strings = value
    # The string table is given by its address in memory: find the segment that it is loaded with.
    for kind, offset, address, length in segments:
        if kind == _PT_LOAD and address <= strings < address + length:
            strings += offset - address
            break
    names = (data[strings + at : data.index(b"\0", strings + at)] for at in needed)
    return Wants(tuple(name.decode() for name in names), interpreter)
