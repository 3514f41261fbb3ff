"""The id of a leaf: suite/program/case, boot/dmesg, and patch-N/... for the kernel of one patch."""

from __future__ import annotations

BOOT = "boot"
OF_PATCH = "patch-"  # begins the id of a leaf on the kernel of one patch of the series


def split(leaf_id: str) -> tuple[str, str, str]:
    """Return suite, program and case of an id; a boot's leaf has no program."""
    suite, _, rest = leaf_id.partition("/")
    program, slash, case = rest.partition("/")
    if not slash and (suite == BOOT or suite.startswith(f"{BOOT}-")):
        return suite, "", program
    return suite, program, case


def case_name(leaf_id: str) -> str:
    """Return what a leaf is called within its program; the program itself where it is that."""
    suite, program, case = split(leaf_id)
    return case or program or suite
