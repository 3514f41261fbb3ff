"""The command line of a program built on kselftest_harness.h, as it is in Linux 6.12.

There ``-l`` lists the cases of each fixture beside its variants, on standard error (in the tree:
test_harness_list_tests()), and ``-r fixture.variant.case`` runs one of them. That of 6.1 ignores
its arguments and runs everything.
"""

from __future__ import annotations

import itertools
import re

LIST = "-l"
SELECT = "-r"
# The heading of the list is in every program that can make it, and in no other.
MARK = b"# FIXTURE"
_FIXTURE_WIDTH, _VARIANT_WIDTH = 20, 25  # "%-20s %-25s %s"
_RULE = re.compile(r"-{40,}")
_WORD = re.compile(r"\S*")


def cases(listing: str) -> tuple[str, ...]:
    """Return the names of the cases that a listing shows, as ``-r`` takes them; each once.

    Whatever the text, nothing is raised; what is no listing has no cases.
    """
    lines = listing.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith(MARK.decode())]
    if not heads:
        return ()
    listed: list[str] = []
    fixture, variants, tests = "", list[str](), list[str]()
    for line in [*lines[heads[0] + 1 :], "-" * 80]:
        if _RULE.fullmatch(line):
            listed += _names(fixture, variants, tests)
            fixture, variants, tests = "", [], []
            continue
        first, rest = _cell(line, _FIXTURE_WIDTH)
        variant, rest = _cell(rest, _VARIANT_WIDTH)
        fixture = fixture or first
        variants += [variant] if variant else []
        tests += [rest.strip()] if rest.strip() else []
    return tuple(dict.fromkeys(listed))


def _cell(line: str, width: int) -> tuple[str, str]:
    """Return the word in a column at least ``width`` wide, and what follows the column."""
    match = _WORD.match(line)
    word = match.group() if match else ""
    return word, line[max(width, len(word)) + 1 :]


def _names(fixture: str, variants: list[str], tests: list[str]) -> list[str]:
    if not fixture:
        return []
    pairs = itertools.product(variants or [""], tests)
    return [".".join(filter(None, (fixture, variant, test))) for variant, test in pairs]
