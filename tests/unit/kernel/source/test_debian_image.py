from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase, Prebuilt
from toolkit.core.observer import Silent
from toolkit.host import apt
from toolkit.host.cache import Cache
from toolkit.kernel import source
from toolkit.kernel.prebuilt import packages
from toolkit.kernel.source.debian import Debian

SOURCE = apt.Package("linux-source-6.12", "6.12.117-1~deb12u1", "all", "5" * 64)
IMAGE = apt.Package("linux-image-6.12.117+deb12-cloud-amd64", SOURCE.version, "amd64", "6" * 64)


class Heard(Silent):
    """Remembers what the user was told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelBase:
    """Stand in for apt and its linux-source package."""
    made = make_base(tmp_path / "tree")
    monkeypatch.setattr(Debian, "candidate", lambda *_: SOURCE)
    monkeypatch.setattr(Debian, "fetch", lambda *_: (made, True))
    return made


def test_the_source_comes_with_the_kernel_that_was_built_from_it(
    base: KernelBase, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prebuilt = Prebuilt(tmp_path, "key", "6.12.117+deb12-cloud-amd64", IMAGE.name)
    monkeypatch.setattr(packages, "find", lambda *_: (IMAGE,))
    monkeypatch.setattr(packages, "fetch", lambda *_: (prebuilt, False))
    observer = Heard()
    found, cached = source.parse("debian-image:6.12").fetch(cache, observer, soon())
    assert (found.prebuilt, found.key, found.path) == (prebuilt, base.key, base.path)
    assert not cached
    assert observer.notices == []


def test_a_kernel_of_another_version_is_not_taken_and_that_is_said(
    base: KernelBase, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find", lambda *_: None)
    observer = Heard()
    assert source.parse("debian-image:6.12").fetch(cache, observer, soon()) == (base, True)
    assert observer.notices == [
        "apt has no built kernel of linux-source-6.12 6.12.117-1~deb12u1: the whole kernel is built"
    ]


@pytest.mark.parametrize("spec", ["debian-image:", "debian-image:6", "debian-image:6.12.117"])
def test_what_is_mistyped_is_refused(spec: str) -> None:
    with pytest.raises(UserError) as caught:
        source.parse(spec)
    assert "debian-image:6.12" in (caught.value.hint or "")
