"""What the caller's words for a suite mean, by their form: ``kunit:GLOB``, a path, a plain name."""

from __future__ import annotations

from toolkit.testing import outside_suites

KUNIT = "kunit"
KVM_UNIT_TESTS = "kvm-unit-tests"


def is_kunit(name: str) -> bool:
    """Return whether a name stands for KUnit tests: ``kunit`` or ``kunit:GLOB``."""
    return name.partition(":")[0] == KUNIT


def is_kvm_unit_tests(name: str) -> bool:
    """Return whether a name stands for a checkout: ``kvm-unit-tests:PATH``."""
    return name.partition(":")[0] == KVM_UNIT_TESTS


def name_of(name: str) -> str:
    """Return what a suite is called in the ids of its leaves, by what the caller names it."""
    if is_kunit(name) or is_kvm_unit_tests(name):
        return name.partition(":")[0]
    return outside_suites.name_of(name)
