import gzip
import stat

import pytest

from tests.unit.fake_elf import build
from toolkit.core.errors import UserError
from toolkit.formats import cpio
from toolkit.host.apt import Member
from toolkit.vm import initramfs

LOADER = "/lib64/ld.so"


def member(content: bytes, target: str = "") -> Member:
    return Member(content, executable=True, target=target)


TREE = {
    "usr/bin/busybox": member(build([])),
    "usr/sbin/server": member(build(["liba.so.1", "libc.so.6"], LOADER)),
    "usr/lib/x86_64-linux-gnu/liba.so.1": member(b"", "usr/lib/x86_64-linux-gnu/liba.so.1.5"),
    "usr/lib/x86_64-linux-gnu/liba.so.1.5": member(build(["libb.so.2"])),
    "usr/lib/libb.so.2": member(build(["libc.so.6"])),
    "usr/lib/x86_64-linux-gnu/libc.so.6": member(build([], LOADER)),
    "usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libc.so.6": member(b"for newer processors"),
    "usr/lib64/ld.so": member(b"", "usr/lib/x86_64-linux-gnu/ld-real.so"),
    "usr/lib/x86_64-linux-gnu/ld-real.so": member(b"loader"),
    "usr/share/doc/readme": Member(b"text", executable=False),
}


def made(
    tree: dict[str, Member] = TREE, programs: tuple[str, ...] = ("busybox", "server")
) -> list[cpio.Entry]:
    return initramfs.entries(
        tree=tree,
        programs=programs,
        applets=["sh", "["],
        symlinks={"/bin": "usr/bin"},
        files={"/init": (b"#!/bin/sh\n", 0o755), "/etc/shadow": (b"root:*\n", 0o600)},
        folders={"/tmp": 0o1777, "/root": 0o700},
    )


def test_listing() -> None:
    listing = [(f"{entry.mode:06o}", entry.path) for entry in made()]
    assert listing == [
        ("120777", "bin"),
        ("040755", "dev"),
        ("020600", "dev/console"),
        ("040755", "etc"),
        ("100600", "etc/shadow"),
        ("100755", "init"),
        ("040700", "root"),
        ("041777", "tmp"),
        ("040755", "usr"),
        ("040755", "usr/bin"),
        ("120777", "usr/bin/["),
        ("100755", "usr/bin/busybox"),
        ("100755", "usr/bin/server"),
        ("120777", "usr/bin/sh"),
        ("040755", "usr/lib"),
        ("100755", "usr/lib/libb.so.2"),
        ("040755", "usr/lib/x86_64-linux-gnu"),
        ("100755", "usr/lib/x86_64-linux-gnu/liba.so.1"),
        ("100755", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("040755", "usr/lib64"),
        ("100755", "usr/lib64/ld.so"),
    ]


def test_a_library_is_what_its_link_leads_to() -> None:
    by_path = {entry.path: entry for entry in made()}
    assert by_path["usr/lib64/ld.so"].content == b"loader"
    assert stat.S_ISREG(by_path["usr/lib/x86_64-linux-gnu/liba.so.1"].mode)
    assert by_path["usr/bin/sh"].target == "busybox"


def test_a_program_that_no_package_has() -> None:
    with pytest.raises(UserError, match="has a program 'vim'"):
        made(programs=("vim",))
    with pytest.raises(UserError, match="has a program 'readme'"):
        made({**TREE, "usr/bin/readme": Member(b"", executable=False)}, ("readme",))


@pytest.mark.parametrize("lost", ["usr/lib/libb.so.2", "usr/lib64/ld.so"])
def test_a_library_that_no_package_has(lost: str) -> None:
    tree = {path: found for path, found in TREE.items() if path != lost}
    with pytest.raises(UserError, match=f"needs .*{lost.rpartition('/')[2]}"):
        made(tree)


@pytest.mark.parametrize("compress", [False, True])
def test_the_same_entries_give_the_same_bytes(compress: bool) -> None:
    reordered = dict(reversed(TREE.items()))
    one = initramfs.archive(made(), compress=compress)
    two = initramfs.archive(made(reordered), compress=compress)
    assert one == two
    assert cpio.unpack(gzip.decompress(one) if compress else one) == made()
