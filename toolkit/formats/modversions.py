"""Which symbols a kernel module uses, each with the CRC that it was built with.

With CONFIG_MODVERSIONS modpost writes them into the module's section ``__versions``, an array of
``struct modversion_info`` (include/linux/module.h), against which the loader holds the CRCs of what
is loaded (kernel/module/version.c, check_version()).
"""

from __future__ import annotations

import struct

from toolkit.formats import elf

_SECTION = "__versions"
_ENTRY = struct.Struct("<Q56s")  # 64 bytes on a 64-bit machine: MODULE_NAME_LEN is the rest


def imports(data: bytes) -> dict[str, int]:
    """Return the symbols that a 64-bit little-endian module uses, and their CRCs.

    Raises :class:`ValueError` for what is no module or is damaged; one without the section has
    none.
    """
    versions = elf.section(data, _SECTION)
    with elf.damage():
        return {
            name.partition(b"\0")[0].decode(): crc & 0xFFFFFFFF
            for crc, name in _ENTRY.iter_unpack(versions)
        }
