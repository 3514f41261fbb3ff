from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.kernel.source.fetching import fetch, pack, same
from toolkit.core.errors import InfrastructureError, ToolMissingError, UserError
from toolkit.host import apt
from toolkit.host.cache import Cache
from toolkit.kernel.source import debian


@pytest.fixture
def deb(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for apt: one package, version by version; returns what was downloaded."""
    archive, _ = pack(tree)
    folder = tmp_path / "pkg"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: linux-source-6.12\nVersion: 1\nArchitecture: all\n"
        "Maintainer: A <a@example.org>\nDescription: x\n"
    )
    (folder / "usr/src").mkdir(parents=True)
    os.link(archive, folder / "usr/src/linux-source-6.12.tar.xz")
    store = tmp_path / "store"
    store.mkdir()
    argv = ["dpkg-deb", "--build", str(folder), str(store / "package.deb")]
    subprocess.run(argv, check=True, capture_output=True)
    downloads: list[str] = []

    def candidates(names: list[str], *_: object) -> tuple[apt.Package, ...]:
        if names != ["linux-source-6.12"]:
            raise InfrastructureError("apt knows no package")
        return (apt.Package(names[0], "6.12.117-1", "all", "5" * 64),)

    def get(packages: list[apt.Package], *_: object) -> list[Path]:
        downloads.append(packages[0].name)
        return [store / "package.deb"]

    monkeypatch.setattr(apt, "candidates", candidates)
    monkeypatch.setattr(apt, "fetch", get)
    return downloads


def test_a_debian_package(deb: list[str], tree: Path, cache: Cache) -> None:
    base, found = fetch("debian:6.12", cache)
    assert not found
    assert (base.name, base.release) == ("debian:6.12", "6.12.117")
    assert same(tree, base.path)
    assert fetch("debian:6.12", cache) == (base, True)
    assert deb == ["linux-source-6.12"]


@pytest.mark.usefixtures("deb")
def test_an_unknown_debian_package(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian.Debian, "_available", staticmethod(lambda _: ["debian:6.12"]))
    with pytest.raises(UserError) as caught:
        fetch("debian:6.99", cache)
    assert caught.value.what == "apt has no package linux-source-6.99"
    assert caught.value.hint.startswith("apt has debian:6.12; run `apt-get update`")


def test_a_host_without_apt(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> tuple[apt.Package, ...]:
        raise ToolMissingError("apt-cache", "apt")

    monkeypatch.setattr(apt, "candidates", missing)
    with pytest.raises(UserError) as caught:
        fetch("debian:6.12", cache)
    assert "needs apt" in caught.value.what
    assert "tree:PATH" in caught.value.hint
