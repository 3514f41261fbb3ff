from __future__ import annotations

from pathlib import Path

from toolkit.host import folders


def test_hard_links_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    alone = folders.size(tmp_path)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert folders.size(tmp_path) == alone


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    for _ in range(2):  # the second time it is gone already
        folders.remove(tmp_path / "a")
        assert list(tmp_path.iterdir()) == []
