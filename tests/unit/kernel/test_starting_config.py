from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_base, soon
from toolkit.core.arch import X86_64
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.host import apt
from toolkit.host.apt import Member, Package
from toolkit.host.cache import Cache
from toolkit.kernel import starting_config
from toolkit.kernel.starting_config import TINY, StartingConfig

CONFIG = "CONFIG_64BIT=y\n# CONFIG_KVM is not set\n"
DAMAGED = gzip.compress(CONFIG.encode())[:10] + b"\xff" * 40


def test_words_that_make_knows() -> None:
    assert starting_config.parse("tiny") == TINY
    assert (TINY.target, TINY.text) == ("tinyconfig", "")
    assert starting_config.parse("defconfig").target == "defconfig"


def test_a_file_is_read_at_once_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(CONFIG)
    (tmp_path / "config.gz").write_bytes(gzip.compress(CONFIG.encode()))
    for name in ("plain", "config.gz"):
        start = starting_config.parse(str(tmp_path / name))
        assert (start.text, start.target) == (CONFIG, "")


def test_a_name_without_a_slash_may_be_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no configuration 'mine'"):
        starting_config.parse("mine")
    Path("mine").write_text(CONFIG)
    assert starting_config.parse("mine").text == CONFIG


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x1f\x8bno gzip", DAMAGED, b"\0" * 100])
def test_what_is_no_configuration_is_the_callers_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(UserError, match="configuration"):
        starting_config.parse(str(tmp_path / "it"))


def test_a_file_that_unpacks_to_something_huge_is_none(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(gzip.compress(CONFIG.encode() + b"\n" * (5 << 20)))
    with pytest.raises(UserError, match="no kernel configuration"):
        starting_config.parse(str(tmp_path / "it"))


def test_the_nearest_word_is_named() -> None:
    with pytest.raises(UserError) as caught:
        starting_config.parse("defconfg")
    assert caught.value.hint == "did you mean defconfig?"


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an apt with the configurations of Linux 6.12."""

    def candidates(names: list[str], *_: object, lists: object) -> tuple[Package, ...]:
        if names != ["linux-config-6.12"]:
            raise InfrastructureError("apt has no package")
        return (Package(names[0], "6.12.117-1", "amd64", "0" * 64),)

    def contents(*_: object) -> dict[str, Member]:
        folder = "usr/src/linux-config-6.12"
        names = ("amd64_none_amd64", "amd64_none_cloud-amd64", "amd64_rt_amd64")
        return {
            f"{folder}/config.{name}.xz": Member(
                lzma.compress(f"CONFIG_{name}=y\n".encode()), False
            )
            for name in names
        } | {"usr/share/doc/x": Member(b"", executable=False)}

    monkeypatch.setattr(apt, "candidates", candidates)
    monkeypatch.setattr(apt, "fetch", lambda *_: [Path("it.deb")])
    monkeypatch.setattr(apt, "contents", contents)


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("distro", "CONFIG_amd64_none_amd64=y\n"),
        ("distro:cloud-amd64", "CONFIG_amd64_none_cloud-amd64=y\n"),
        ("distro:rt-amd64", "CONFIG_amd64_rt_amd64=y\n"),
    ],
)
def test_a_distribution_s_comes_out_of_its_package(tmp_path: Path, word: str, text: str) -> None:
    base = make_base(tmp_path / "tree")  # 6.12.117
    start = starting_config.fetched(
        starting_config.parse(word), base, X86_64, Cache(tmp_path), soon()
    )
    assert start == StartingConfig(word, text)


@pytest.mark.usefixtures("archive")
def test_what_apt_does_not_have_is_said_with_what_there_is(tmp_path: Path) -> None:
    base = make_base(tmp_path / "tree")
    cache = Cache(tmp_path)
    with pytest.raises(UserError, match="has no configuration 'cloud'") as caught:
        starting_config.fetched(starting_config.parse("distro:cloud"), base, X86_64, cache, soon())
    assert "distro:amd64, distro:cloud-amd64, distro:rt-amd64" in caught.value.hint
    other = make_base(tmp_path / "other", Makefile="VERSION = 6\n")
    other = type(base)(base.name, "6.11.3", other.path, other.key)
    with pytest.raises(UserError, match=r"apt has no linux-config-6\.11"):
        starting_config.fetched(starting_config.parse("distro"), other, X86_64, cache, soon())


def test_all_others_are_what_they_are_already(tmp_path: Path) -> None:
    base = make_base(tmp_path / "tree")
    for start in (TINY, StartingConfig("defconfig"), StartingConfig("x", CONFIG)):
        assert starting_config.fetched(start, base, X86_64, Cache(tmp_path), soon()) == start
