from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats import modversions


def module(symbols: dict[str, int], section: bytes = b"__versions") -> bytes:
    """Return the smallest ELF file with that section."""
    body = b"".join(struct.pack("<Q56s", crc, name.encode()) for name, crc in symbols.items())
    names = b"\0" + section + b"\0.shstrtab\0"
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    table = 64 + len(body) + len(names)
    head += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = [(0, 0, 0), (1, 64, len(body)), (len(section) + 2, 64 + len(body), len(names))]
    headers = [
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, at, size, 0, 0, 1, 0)
        for name, at, size in sections
    ]
    return head + body + names + b"".join(headers)


def test_the_symbols_that_a_module_uses_and_their_crcs() -> None:
    symbols = {"module_layout": 0xE61A6D2F, "kvm_get_kvm": 1, "x" * 55: 0xFFFFFFFF}
    assert modversions.imports(module(symbols)) == symbols
    assert modversions.imports(module({})) == {}
    assert modversions.imports(module(symbols, b"__versions_ext")) == {}


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"text"])
def test_what_is_no_module_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="ELF"):
        modversions.imports(data)


@pytest.mark.parametrize("table", [1 << 40, 1 << 62, 1 << 63, (1 << 64) - 64])
def test_a_table_of_sections_that_lies_nowhere_is_damage(table: int) -> None:
    data = bytearray(module({"printk": 1}))
    struct.pack_into("<Q", data, 0x28, table)
    with pytest.raises(ValueError, match="damaged ELF file"):
        modversions.imports(bytes(data))


def test_numbers_of_sections_that_16_bits_do_not_hold_are_in_the_first_one() -> None:
    data = bytearray(module({"printk": 7}))
    struct.pack_into("<HH", data, 0x3C, 0, 0xFFFF)
    (table,) = struct.unpack_from("<Q", data, 0x28)
    struct.pack_into("<QI", data, table + 32, 3, 2)  # sh_size: how many; sh_link: their names
    assert modversions.imports(bytes(data)) == {"printk": 7}
    struct.pack_into("<Q", data, table + 32, 1 << 60)
    with pytest.raises(ValueError, match="the table of sections is cut short"):
        modversions.imports(bytes(data))


@given(st.integers(0, 400), st.binary(max_size=8))
def test_a_damaged_module_is_refused_or_read_and_never_more(cut: int, noise: bytes) -> None:
    data = module({"printk": 1, "kvm_get_kvm": 2})
    damaged = data[:cut] + noise + data[cut + len(noise) :]
    for each in (data[:cut], damaged):
        with contextlib.suppress(ValueError):
            assert len(modversions.imports(each)) <= len(each) // 64
