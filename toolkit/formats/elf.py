"""Reads from an ELF file what machine it is for, and which shared libraries it wants."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"\x7fELF"
_MSB = 2  # in the byte of an ELF file that says how its numbers are stored
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


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
    try:
        return _read(data)
    # Python has no index beyond 63 bits: that is an OverflowError.
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged ELF file: {error}") from error


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
