"""Which symbols a kernel module uses, each with the CRC that it was built with.

With CONFIG_MODVERSIONS modpost writes them into the module's section ``__versions``, an array of
``struct modversion_info`` (include/linux/module.h), against which the loader holds the CRCs of what
is loaded (kernel/module/version.c, check_version()).
"""

from __future__ import annotations

import struct

from toolkit.formats.elf import MAGIC

_SECTION = b"__versions"
_ENTRY = struct.Struct("<Q56s")  # 64 bytes on a 64-bit machine: MODULE_NAME_LEN is the rest
_HEADER = struct.Struct("<IIQQQQ")  # of a section, as far as it is needed: elf(5), Elf64_Shdr


def imports(data: bytes) -> dict[str, int]:
    """Return the symbols that a 64-bit little-endian module uses, and their CRCs.

    Raises :class:`ValueError` for what is no module or is cut short; one without the section has
    none.
    """
    if data[:6] != MAGIC + b"\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    try:
        section = _section(data)
        return {
            name.partition(b"\0")[0].decode(): crc & 0xFFFFFFFF
            for crc, name in _ENTRY.iter_unpack(section)
        }
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged ELF file: {error}") from error


def _section(data: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    if not count:
        return b""
    headers = [_HEADER.unpack_from(data, table + number * size) for number in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        start = strings + name
        if data[start : start + len(_SECTION) + 1] == _SECTION + b"\0":
            if offset + length > len(data):
                raise IndexError("the section is cut short")
            return data[offset : offset + length]
    return b""
