from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import FILES
from tests.unit.kernel.source.fetching import fetch, same
from toolkit.core.errors import UserError
from toolkit.host.cache import Cache
from toolkit.kernel.source import tree_snapshot


def test_a_tree_is_snapshotted_when_it_changed(tree: Path, cache: Cache) -> None:
    base, found = fetch(f"tree:{tree}", cache)
    assert not found
    assert same(tree, base.path)
    assert fetch(f"tree:{tree}/", cache)[1]
    (tree / "Kconfig").write_text("mainmenu two\n")
    newer, found = fetch(f"tree:{tree}", cache)
    assert not found
    assert newer.key != base.key
    assert same(tree, newer.path)
    assert (base.path / "Kconfig").read_text() == FILES["Kconfig"]
    assert (base.path / "Makefile").stat().st_ino == (newer.path / "Makefile").stat().st_ino


def test_a_tree_that_changes_meanwhile(
    tree: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, edits = tree_snapshot.snapshot, [2]

    def snapshot(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]
        if edits[0]:
            edits[0] -= 1
            (tree / "Kconfig").write_text("mainmenu x\n" * (9 - edits[0]))

    monkeypatch.setattr(tree_snapshot, "snapshot", snapshot)
    base, _ = fetch(f"tree:{tree}", cache)
    assert same(tree, base.path)
    edits[0] = 99
    (tree / "more.c").write_text("x\n")
    with pytest.raises(UserError, match="keeps changing"):
        fetch(f"tree:{tree}", cache)


def test_a_tree_that_is_none(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        fetch(f"tree:{tmp_path}/none", cache)
    with pytest.raises(UserError, match="holds no Linux kernel"):
        fetch(f"tree:{tmp_path}", cache)
