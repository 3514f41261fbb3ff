from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel.source.fetching import fetch, pack, same
from toolkit.core.errors import UserError
from toolkit.host.cache import Cache


@pytest.mark.parametrize("form", ["path", "url"])
def test_a_tarball(tree: Path, cache: Cache, form: str) -> None:
    path, sha256 = pack(tree)
    place = path.as_uri() if form == "url" else str(path)
    spec = f"tarball:{place}#sha256={sha256.upper()}"
    base, found = fetch(spec, cache)
    assert not found
    assert (base.name, base.release) == (spec, "6.12.117")
    assert same(tree, base.path)
    path.unlink()
    again, found = fetch(f"tarball:elsewhere#sha256={sha256}", cache)
    assert found
    assert again.key == base.key
    assert sorted(path.name for path in base.path.parent.iterdir()) == [
        ".sealed.json",
        ".stamps",
        "release",
        "tree",
    ]


def test_a_tarball_with_another_checksum_is_not_unpacked(tree: Path, cache: Cache) -> None:
    path, sha256 = pack(tree)
    for place in (str(path), path.as_uri()):
        with pytest.raises(UserError, match=sha256):
            fetch(f"tarball:{place}#sha256={'0' * 64}", cache)
    with pytest.raises(UserError, match="cannot read"):
        fetch(f"tarball:none.tar#sha256={'0' * 64}", cache)
    assert [path for path in (cache.root / "source").iterdir() if path.is_dir()] == []


def test_a_tarball_that_is_no_kernel(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README").write_text("x\n")
    path, sha256 = pack(tmp_path / "other")
    with pytest.raises(UserError, match="holds no Linux kernel"):
        fetch(f"tarball:{path}#sha256={sha256}", cache)
