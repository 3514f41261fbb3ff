"""The contract of mmio-socket/v1 and the cases that test it: each row has one, each case a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "patches/mmio-socket/v1/contract.md"
SUITE = ROOT / "kselftests/mmio-socket"

_CASE = re.compile(r"^TEST_F\(mmio_socket, (\w+)\)", re.MULTILINE)


def rows() -> Iterator[tuple[str, str]]:
    """Return what each row is about, and its tests."""
    for line in CONTRACT.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| situation "):
            about, _, tests = line.strip("| ").split(" | ")
            yield about, tests


def named() -> set[str]:
    return {
        f"{program}: {case}"
        for _, tests in rows()
        if not tests.startswith("(")
        for part in tests.split("; ")
        for program, _, cases in [part.partition(": ")]
        for case in cases.split(", ")
    }


def written() -> set[str]:
    return {
        f"{file.name.removeprefix('mmio_socket_').removesuffix('_test.c')}: {case}"
        for file in SUITE.glob("*_test.c")
        for case in _CASE.findall(file.read_text())
    }


def test_each_row_names_a_test_or_says_why_it_has_none() -> None:
    assert len(list(rows())) > 50
    assert [about for about, tests in rows() if not tests] == []


def test_each_test_of_a_row_is_written() -> None:
    assert named() - written() == set()


def test_each_case_holds_the_kernel_to_a_row() -> None:
    assert written() - named() == set()
