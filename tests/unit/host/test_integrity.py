"""A folder that holds what it held, and one that does not."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.host import integrity


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


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Make a file that is a hole but for a few bytes at 3 MiB."""
    file = tmp_path / "entry/disk"
    file.parent.mkdir()
    with file.open("wb") as disk:
        disk.truncate(8 << 20)
        disk.seek(3 << 20)
        disk.write(b"data")
    return file


def write_at(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as disk:
        disk.seek(offset)
        disk.write(data)


SPARSE_HARMS: dict[str, Harm] = {
    "data": lambda file: write_at(file, 3 << 20, b"Data"),
    "a hole": lambda file: write_at(file, 7 << 20, b"x"),
    "its place": lambda file: write_at(file, 3 << 20, bytes(2 << 20) + b"data"),
    "its size": lambda file: os.truncate(file, 9 << 20),
}


@pytest.mark.parametrize("harm", SPARSE_HARMS)
def test_a_file_with_holes_is_known_by_its_blocks(sparse: Path, harm: str) -> None:
    known = integrity.digests(sparse.parent)
    assert not integrity.damage(sparse.parent, known)
    SPARSE_HARMS[harm](sparse)
    assert integrity.damage(sparse.parent, known) == "disk has changed"


def test_a_hole_that_was_written_with_zeros_is_no_damage(sparse: Path) -> None:
    known = integrity.digests(sparse.parent)
    write_at(sparse, 0, bytes(8 << 20))
    write_at(sparse, 3 << 20, b"data")
    assert not integrity.damage(sparse.parent, known)


def test_a_digest_from_before_holes_were_passed_over_still_holds(sparse: Path) -> None:
    known = {"disk": hashlib.blake2b(sparse.read_bytes(), digest_size=16).hexdigest()}
    assert not integrity.damage(sparse.parent, known)
    write_at(sparse, 0, b"x")
    assert integrity.damage(sparse.parent, known) == "disk has changed"


def test_a_large_tree_is_never_held_as_a_list(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(3000):
        (tree / f"a file with quite some name {number}").touch()
    integrity.remember_stamps(tree)
    size = (tmp_path / integrity.STAMPS).stat().st_size
    tracemalloc.start()
    assert integrity.stamp_damage(tree) == ""
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * size
