from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.kernel import source
from toolkit.kernel.source import provider


@pytest.mark.parametrize(
    ("spec", "what", "hint"),
    [
        ("", "names no kernel source", "debian:6.12"),
        ("debian:", "names no kernel source", "debian:6.12"),
        ("debian:6.12; rm", "names no kernel version", "debian:6.12"),
        ("debian:-o", "names no kernel version", "debian:6.12"),
        ("fedora:40", "names no kernel source", "tree:PATH"),
        ("git:", "names no kernel source", "git:PATH@REV"),
        ("tarball:linux.tar", "has no checksum", "tarball:linux.tar#sha256=HEX"),
        ("tarball:linux.tar#sha256=12", "64 hex digits", ""),
        ("tarball:linux.tar#md5=12", "only #sha256=HEX", ""),
    ],
)
def test_specs_that_are_refused(spec: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        source.parse(spec)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_bare_folder_is_explained(tree: Path) -> None:
    with pytest.raises(UserError) as caught:
        source.parse(str(tree))
    assert caught.value.hint.startswith(f"did you mean tree:{tree}?")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n", "6.12.117"),
        ("VERSION = 6\nPATCHLEVEL = 13\nSUBLEVEL = 0\nEXTRAVERSION = -rc2\n", "6.13.0-rc2"),
        ("VERSION=5\nPATCHLEVEL=4\nVERSION = 9\n", "5.4.0"),
    ],
)
def test_release(tmp_path: Path, text: str, release: str) -> None:
    (tmp_path / "Makefile").write_text(text)
    assert provider.release(tmp_path) == release


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "VERSION = 6\n",
        "VERSION = x\nPATCHLEVEL = y\n",
        "VERSION = \u00b2\nPATCHLEVEL = 1\n",
    ],
)
def test_no_kernel(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "Makefile").write_text(text)
    with pytest.raises(UserError, match="holds no Linux kernel"):
        provider.release(tmp_path)
