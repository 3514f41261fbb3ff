import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_elf import build
from toolkit.formats.elf import Wants, wants


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


@pytest.mark.parametrize("table", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_a_table_that_lies_nowhere_is_damage(table: int) -> None:
    header = bytearray(b"\x7fELF\x02\x01" + bytes(80))
    struct.pack_into("<Q", header, 0x20, table)
    struct.pack_into("<HH", header, 0x36, 56, 1)
    with pytest.raises(ValueError, match="damaged"):
        wants(bytes(header))


@given(st.binary(max_size=200))
def test_noise_never_breaks_it_otherwise(noise: bytes) -> None:
    with contextlib.suppress(ValueError):
        wants(b"\x7fELF\x02\x01" + noise)
