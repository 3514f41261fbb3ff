import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.elf import Wants, wants

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


def test_libraries_and_loader_in_order() -> None:
    data = build(["libz.so.1", "libc.so.6"], "/lib64/ld.so")
    assert wants(data) == Wants(("libz.so.1", "libc.so.6"), "/lib64/ld.so")


def test_scripts_and_static_programs_want_nothing() -> None:
    assert wants(b"#!/bin/sh\n") == Wants()
    assert wants(build([])) == Wants()


@given(st.integers(min_value=6, max_value=300))
def test_a_file_cut_short_is_a_value_error(length: int) -> None:
    data = build(["libc.so.6"], "/lib64/ld.so")
    if length < len(data):
        with pytest.raises(ValueError, match=r"damaged|substring"):
            wants(data[:length])


@given(st.binary(max_size=200))
def test_noise_never_breaks_it_otherwise(noise: bytes) -> None:
    with contextlib.suppress(ValueError):
        wants(b"\x7fELF\x02\x01" + noise)
