from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.errors import InfrastructureError
from toolkit.host import apt_lists
from toolkit.host.apt_lists import sources
from toolkit.host.cache import Cache

TARGETS = """\
Debian|bookworm|http://mirror.example/debian/|bookworm|main|/keys/debian.gpg
Debian|bookworm-updates|http://mirror.example/debian/|bookworm-updates|main|
Debian|bookworm-security|http://mirror.example/security/|bookworm-security|main|
Debian|trixie|http://mirror.example/debian/|trixie|main|
Somebody|bookworm|http://elsewhere.example/|bookworm|main|
not a target
"""


def test_sources_are_the_distributions_own_for_that_suite() -> None:
    assert sources(TARGETS, "bookworm") == [
        "deb [signed-by=/keys/debian.gpg] http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/security/ bookworm-security main",
    ]
    assert sources(TARGETS, "noble") == []


def test_sources_of_another_architecture_and_release() -> None:
    assert sources(TARGETS, "bookworm", architecture="arm64")[1:] == [
        "deb [arch=arm64] http://mirror.example/debian/ bookworm-updates main",
        "deb [arch=arm64] http://mirror.example/security/ bookworm-security main",
    ]
    assert sources(TARGETS, "bookworm", "trixie", "riscv64") == [
        "deb [arch=riscv64 signed-by=/keys/debian.gpg] http://mirror.example/debian/ trixie main"
    ]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of bookworm whose apt-get writes down its words, and fails where "fail" is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("setpriv", "sh", "cat", "touch"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    (folder / "apt-get").write_text(
        "#!/bin/sh\n"
        f'echo "$*" >>{folder}/words\n'
        f"[ ! -e {folder}/fail ] || {{ echo E: no such architecture >&2; exit 100; }}\n"
        f'case "$*" in *indextargets*) cat {folder}/targets ;; esac\n'
    )
    (folder / "apt-get").chmod(0o755)
    (folder / "targets").write_text(TARGETS)
    monkeypatch.setenv("PATH", f"{folder}:/nonexistent")
    monkeypatch.setattr(apt_lists, "host_suite", lambda: "bookworm")
    return folder


def updates(apt: Path) -> list[str]:
    return [line for line in (apt / "words").read_text().splitlines() if line.endswith(" update")]


def test_lists_of_another_architecture_are_fetched_once(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt_lists, "SOURCES", (tmp_path / "host-lists",))
    cache = Cache(tmp_path / "cache")
    first = apt_lists.of("arm64", cache, soon())
    assert apt_lists.of("arm64", cache, soon()) == first
    (update,) = updates(apt)
    assert len((apt / "words").read_text().splitlines()) == 2, "apt is asked for once"
    assert "APT::Architecture=arm64 " in update
    assert first.architecture == "arm64"
    options = dict(word.split("=", 1) for word in first.options[1::2])
    written = Path(options["Dir::Etc::SourceList"]).read_text()
    assert written.splitlines() == sources(TARGETS, "bookworm", "", "arm64")
    for name in ("Dir::State::Lists", "Dir::State::status"):
        assert Path(options[name]).is_relative_to(tmp_path / "cache")
        assert Path(options[name]).exists()
    assert apt_lists.of("riscv64", cache, soon()).key != first.key
    # When the host's own lists are newer, so should these be.
    (tmp_path / "host-lists").write_text("newer")
    assert apt_lists.of("arm64", cache, soon()).key != first.key
    assert len(updates(apt)) == 3


def test_an_architecture_that_the_mirror_lacks(apt: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    (apt / "targets").write_text("")
    with pytest.raises(InfrastructureError, match="no source for bookworm"):
        apt_lists.of("arm64", cache, soon())


def test_a_mirror_that_does_not_answer(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt_lists, "targets", lambda _deadline: TARGETS)
    (apt / "fail").touch()
    with pytest.raises(InfrastructureError, match="the lists of arm64") as caught:
        apt_lists.of("arm64", Cache(tmp_path / "cache"), soon())
    assert "E: no such architecture" in "\n".join(caught.value.detail)
    assert not list((tmp_path / "cache").glob("apt-lists/*/lists"))
