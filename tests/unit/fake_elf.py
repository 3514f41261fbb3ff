"""Makes small ELF files that ask for libraries."""

import struct

BASE = 0x400000  # where the one loaded segment lies in memory


def build(libraries: list[str], interpreter: str = "") -> bytes:
    """Return the smallest ELF file that asks for these: headers, strings, dynamic section."""
    header, entry = 64, 56
    text = b"\0" + b"".join(name.encode() + b"\0" for name in libraries)
    loader = interpreter.encode() + b"\0" if interpreter else b""
    strings_at = header + 3 * entry
    loader_at = strings_at + len(text)
    dynamic_at = loader_at + len(loader)
    tags = []
    at = 1
    for name in libraries:
        tags.append((1, at))
        at += len(name) + 1
    tags += [(5, BASE + strings_at), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    total = dynamic_at + len(dynamic)
    segments = [
        (1, 0, BASE, total),
        (2, dynamic_at, BASE + dynamic_at, len(dynamic)),
        (3 if loader else 0, loader_at, BASE + loader_at, len(loader)),
    ]
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, header, 0, 0, 64, entry, 3, 0, 0, 0)
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, offset, address, address, size, size, 8)
        for kind, offset, address, size in segments
    )
    return head + table + text + loader + dynamic
