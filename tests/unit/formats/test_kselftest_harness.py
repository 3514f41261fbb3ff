"""The list of cases that a program of kselftest_harness.h prints."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats import kselftest_harness

RULE = "-" * 80
# What `iosignalfd_hypercall_test -l` prints on Linux 6.12.117, two fixtures of three.
LISTING = f"""\
{"# FIXTURE":<20} {"VARIANT":<25} TEST
{"hypercall":<20} {"":<25} signals
{"":<20} {"":<25} unknown_number
{RULE}
{"hypercall_mode":<20} {"real_mode":<25} is_no_call
{"":<20} {"compat":<25} has_32_bits
{"":<20} {"a_variant_whose_name_is_long":<25}
"""


def printed(fixtures: dict[str, tuple[list[str], list[str]]]) -> str:
    lines = [f"{'# FIXTURE':<20} {'VARIANT':<25} TEST"]
    for number, (fixture, (variants, tests)) in enumerate(fixtures.items()):
        lines += [RULE] if number else []
        rows = itertools.zip_longest([fixture], variants, tests, fillvalue="")
        lines += [f"{first:<20} {variant:<25} {test}" for first, variant, test in rows]
    return "\n".join(lines) + "\n"


def test_each_variant_has_each_case() -> None:
    assert kselftest_harness.cases(LISTING) == (
        "hypercall.signals",
        "hypercall.unknown_number",
        "hypercall_mode.real_mode.is_no_call",
        "hypercall_mode.real_mode.has_32_bits",
        "hypercall_mode.compat.is_no_call",
        "hypercall_mode.compat.has_32_bits",
        "hypercall_mode.a_variant_whose_name_is_long.is_no_call",
        "hypercall_mode.a_variant_whose_name_is_long.has_32_bits",
    )


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,40}", fullmatch=True)
LISTS = st.lists(NAMES, min_size=1, max_size=5, unique=True)


@given(st.dictionaries(NAMES, st.tuples(st.one_of(st.just([]), LISTS), LISTS), max_size=4))
def test_what_is_printed_is_read(fixtures: dict[str, tuple[list[str], list[str]]]) -> None:
    wanted = [
        ".".join(filter(None, (fixture, variant, test)))
        for fixture, (variants, tests) in fixtures.items()
        for variant in variants or [""]
        for test in tests
    ]
    assert kselftest_harness.cases(printed(fixtures)) == tuple(dict.fromkeys(wanted))


@given(st.text())
def test_what_is_no_list_has_no_cases(text: str) -> None:
    assert kselftest_harness.cases(text.replace("# FIXTURE", "")) == ()
    kselftest_harness.cases(f"{kselftest_harness.MARK.decode()}\n{text}")
