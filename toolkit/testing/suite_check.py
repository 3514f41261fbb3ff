"""Whether a suite can be what the caller calls it, known before there is a kernel's source."""

from __future__ import annotations

from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.model.series import PatchedTree
from toolkit.testing import (
    in_tree_suites,
    kvm_unit_tests,
    outside_suites,
    suite_manifest,
    suite_names,
    suites,
)


def check(folder: Path, name: str, arch: Arch) -> None:
    """Raise the errors of finding a suite as far as they can be known without a kernel's source.

    ``folder`` holds the suites of this checkout.
    """
    if check_place(name, arch):
        return
    in_tree = name.startswith((in_tree_suites.PREFIX, in_tree_suites.SUITE_PREFIX))
    in_tree |= suite_names.is_kunit(name)
    if not name or in_tree or (folder / name / suite_manifest.NAME).is_file():
        return  # which of the kernel's own there are, its source says

    def tree() -> PatchedTree:
        raise AssertionError(f"{name} is none of the kernel's own")

    suites.find(folder, name, tree, arch)


def check_place(name: str, arch: Arch) -> bool:
    """Return whether a name stands for what lies outside this checkout.

    Raises :class:`UserError` where that is not there, or is none.
    """
    if outside_suites.is_path(name):
        outside_suites.checked(name, arch)
    elif suite_names.is_kvm_unit_tests(name):
        kvm_unit_tests.checked(name, arch)
    else:
        return False
    return True
