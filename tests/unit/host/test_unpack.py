import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree, soon
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.host.unpack import deb_member, unpack


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    info.size = 2 if kind == tarfile.REGTYPE else 0
    return info


def pack(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x\n"))
    return path


def do(archive: Path, target: Path) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    unpack(archive, target, lambda done, total: told.append((done, total)), soon())
    return told


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_single_top_folder_is_left_away(tmp_path: Path, mode: str) -> None:
    tree = make_tree(tmp_path / "linux-6.12")
    with tarfile.open(tmp_path / "a.tar", mode) as tar:  # type: ignore[call-overload]
        tar.add(tree, "linux-6.12")
    do(tmp_path / "a.tar", tmp_path / "out")
    assert subprocess.run(["diff", "-r", tree, tmp_path / "out"], check=False).returncode == 0
    assert (tmp_path / "out/scripts/tool.sh").stat().st_mode & 0o111
    assert not (tmp_path / "out.unpacking").exists()


def test_several_entries_at_the_top_stay(tmp_path: Path) -> None:
    do(pack(tmp_path / "a.tar", member("Makefile"), member("virt/a.c")), tmp_path / "out")
    assert (tmp_path / "out/Makefile").read_bytes() == b"x\n"
    assert (tmp_path / "out/virt/a.c").exists()


def test_progress_of_a_large_one(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(100 << 20))
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz", preset=0) as tar:
        tar.add(tmp_path / "zeros", "top/zeros")
    told = do(tmp_path / "a.tar.xz", tmp_path / "out")
    assert told
    assert all(0 < done <= (total or 0) for done, total in told)


@pytest.mark.parametrize(
    "members",
    [
        [member("top/../../escaped")],
        [member("../escaped")],
        [member("/tmp/absolute-member")],
        [member("top/link", tarfile.SYMTYPE, "/etc/passwd")],
        [member("top/link", tarfile.SYMTYPE, "../../outside")],
        [member("top/link", tarfile.SYMTYPE, "../beside"), member("top/a")],
        [member("top", tarfile.SYMTYPE, "..")],
        [member("top/hard", tarfile.LNKTYPE, "../../outside")],
        [member("top/a"), member("top/pipe", tarfile.FIFOTYPE)],
    ],
    ids=lambda members: members[0].name + members[0].linkname,
)
def test_what_reaches_outside_is_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    (tmp_path / "outside").write_text("mine\n")
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"refused|unpacked"):
        do(pack(inside / "a.tar", *members), inside / "out")
    assert {path.name for path in tmp_path.iterdir()} == before
    assert (tmp_path / "outside").read_text() == "mine\n"


def test_a_link_that_is_followed_by_a_member_behind_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    archive = pack(
        tmp_path / "a.tar",
        member("top/link", tarfile.SYMTYPE, str(tmp_path / "outside")),
        member("top/link/planted"),
    )
    with pytest.raises(UserError):
        do(archive, tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_inside_is_fine(tmp_path: Path) -> None:
    archive = pack(
        tmp_path / "a.tar", member("top/a/b"), member("top/c/l", tarfile.SYMTYPE, "../a/b")
    )
    do(archive, tmp_path / "out")
    assert (tmp_path / "out/c/l").read_bytes() == b"x\n"


@pytest.mark.parametrize("content", [b"", b"no archive at all\n" * 100, b"\xfd7zXZ\x00 broken"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tar"):
        do(tmp_path / "a.tar", tmp_path / "out")


def test_the_caller_s_tar_options_play_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAR_OPTIONS", "--exclude=a")
    do(pack(tmp_path / "a.tar", member("top/a"), member("top/b")), tmp_path / "out")
    assert (tmp_path / "out/a").exists()


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    folder = tmp_path / "pkg"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: linux-source-6.12\nVersion: 1\nArchitecture: all\n"
        "Maintainer: A <a@example.org>\nDescription: x\n"
    )
    (folder / "usr/src").mkdir(parents=True)
    (folder / "usr/src/a.tar.xz").write_bytes(b"inner")
    deb = tmp_path / "a.deb"
    subprocess.run(["dpkg-deb", "--build", folder, deb], check=True, capture_output=True)
    return deb


def test_a_member_of_a_package(deb: Path, tmp_path: Path) -> None:
    deb_member(deb, "usr/src/a.tar.xz", tmp_path / "inner", soon())
    assert (tmp_path / "inner").read_bytes() == b"inner"


def test_a_member_that_is_not_there_and_a_broken_package(deb: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"a\.deb has no usr/src/b"):
        deb_member(deb, "usr/src/b", tmp_path / "inner", soon())
    deb.write_bytes(b"!<arch>\nbroken")
    with pytest.raises(InfrastructureError, match=r"a\.deb"):
        deb_member(deb, "usr/src/a.tar.xz", tmp_path / "inner", soon())
