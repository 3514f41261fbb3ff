"""What the carried series promise each other."""

from __future__ import annotations

import email
from pathlib import Path

import pytest

PATCHES = Path(__file__).parents[2] / "patches"


def letter(file: Path) -> tuple[str, str]:
    """Return the subject without its tag, and the text and diff without git's version."""
    mail = email.message_from_string(file.read_text())
    subject = " ".join(mail["Subject"].split()).partition("] ")[2]
    return subject, str(mail.get_payload()).rpartition("\n-- \n")[0]


@pytest.mark.parametrize(
    ("other", "base"),
    [
        ("iosignalfd/v4", "6.12"),
        ("iosignalfd/v4", "6.1"),
        ("iosignalfd/v4-as-posted", "6.12"),
        ("iosignalfd/v4-as-posted", "6.1"),
        ("iosignalfd/v5", "6.12"),
        ("iosignalfd/v6", "6.12"),
    ],
)
def test_the_fix_of_the_io_bus_is_the_same_patch_wherever_it_is_carried(
    other: str, base: str
) -> None:
    (own,) = (PATCHES / "io-bus-order/v1" / base).glob("0001-*")
    (carried,) = (PATCHES / other / base).glob("0001-*")
    assert letter(own) == letter(carried)
    assert "diff --git" in letter(own)[1]
