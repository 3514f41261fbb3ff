"""A folder that holds what it held, and one that does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit import integrity


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "entry/tree"
    (made / "virt/kvm").mkdir(parents=True)
    (made / "virt/kvm/eventfd.c").write_text("int one;\n")
    (made / "Makefile").write_text("VERSION = 6\n")
    (made / "link").symlink_to("Makefile")
    (made / os.fsdecode(b"caf\xe9")).write_text("no UTF-8")
    integrity.remember_stamps(made)
    return made


def relink(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("virt")


Harm = Callable[[Path], object]
HARMS: dict[str, Harm] = {
    "virt/kvm/eventfd.c has changed": lambda tree: (tree / "virt/kvm/eventfd.c").write_text("int"),
    "Makefile is missing": lambda tree: (tree / "Makefile").unlink(),
    "link has changed": relink,
}


@pytest.mark.parametrize("said", HARMS)
def test_both_ways_notice_what_happened(tree: Path, said: str) -> None:
    known = integrity.digests(tree)
    assert not integrity.damage(tree, known)
    assert not integrity.stamp_damage(tree)
    HARMS[said](tree)
    assert integrity.damage(tree, known) == said
    assert integrity.stamp_damage(tree) == said


def test_a_flipped_bit_is_seen_by_its_digest(tree: Path) -> None:
    known = integrity.digests(tree)
    file = tree / "Makefile"
    status = file.stat()
    file.write_text("VERSION = 7\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert integrity.damage(tree, known) == "Makefile has changed"


def test_what_was_added_harms_nobody(tree: Path) -> None:
    known = integrity.digests(tree)
    (tree / "more").write_text("")
    assert not integrity.damage(tree, known)
    assert not integrity.stamp_damage(tree)


def test_a_tree_without_stamps_is_not_judged(tree: Path) -> None:
    (tree.parent / integrity.STAMPS).unlink()
    (tree / "Makefile").unlink()
    assert not integrity.stamp_damage(tree)
