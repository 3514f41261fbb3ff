"""What is known of a suite's name before there is a kernel's source."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.arch import ARM64, X86_64
from toolkit.core.errors import UserError
from toolkit.testing import suite_check

PARTS = ("configure", "scripts/mkstandalone.sh", "x86/unittests.cfg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of suites, with one, beside a checkout of kvm-unit-tests."""
    suites = tmp_path / "kselftests"
    for part in ("kselftests/net/Makefile", *(f"kut/{part}" for part in PARTS)):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_text("include ../lib.mk\n")
    return suites


@pytest.mark.parametrize(
    "name", ["net", "upstream:timers", "upstream-timers", "kunit", "kunit:list*", "{}/net"]
)
def test_what_there_can_be_passes(folder: Path, name: str) -> None:
    suite_check.check(folder, name.format(folder), X86_64)


def test_a_checkout_of_kvm_unit_tests_is_looked_at(folder: Path) -> None:
    name = f"kvm-unit-tests:{folder.parent / 'kut'}"
    suite_check.check(folder, name, X86_64)
    with pytest.raises(UserError, match="on x86_64 alone"):
        suite_check.check(folder, name, ARM64)
    (folder.parent / "kut/configure").unlink()
    with pytest.raises(UserError, match="there is no file "):
        suite_check.check(folder, name, X86_64)


@pytest.mark.parametrize("name", ["ent", "./nowhere", "program:/nowhere", "kvm-unit-tests"])
def test_what_there_is_not_is_an_error(folder: Path, name: str) -> None:
    with pytest.raises(UserError):
        suite_check.check(folder, name, X86_64)
