import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats import cpio

NAMES = st.text("abcXYZ0123456789._-/", min_size=1, max_size=30).map(
    lambda text: "/".join(part for part in text.split("/") if part.strip(".")) or "x"
)
FILES = st.builds(cpio.file, NAMES, st.binary(max_size=70), st.sampled_from([0o644, 0o755, 0o600]))
LINKS = st.builds(cpio.link, NAMES, NAMES)


@given(st.lists(FILES | LINKS, max_size=8))
def test_what_is_packed_is_unpacked(entries: list[cpio.Entry]) -> None:
    assert cpio.unpack(cpio.pack(entries)) == entries


@given(st.lists(FILES | LINKS, min_size=1, max_size=8))
def test_parents_come_first_and_names_once(entries: list[cpio.Entry]) -> None:
    listed = [entry.path for entry in cpio.with_parents(entries)]
    assert len(listed) == len(set(listed))
    for number, path in enumerate(listed):
        parent = path.rpartition("/")[0]
        assert not parent or parent in listed[:number]


def test_of_two_entries_with_one_name_the_later_stays() -> None:
    packed = cpio.with_parents([cpio.file("/a/b", b"1"), cpio.file("/a/b", b"2")])
    assert [(entry.path, entry.content) for entry in packed] == [("a", b""), ("a/b", b"2")]


def test_kinds_and_permissions() -> None:
    folder, node = cpio.unpack(
        cpio.pack([cpio.folder("/tmp", 0o1777), cpio.character_device("dev/console", 0o600, 5, 1)])
    )
    assert folder.mode == stat.S_IFDIR | 0o1777
    assert node.mode == stat.S_IFCHR | 0o600
    assert node.device == (5, 1)
    assert cpio.link("a", "b/c").target == "b/c"


def test_a_damaged_archive_is_refused() -> None:
    archive = cpio.pack([cpio.file("name", b"content")])
    with pytest.raises(ValueError, match="no cpio header at byte 0"):
        cpio.unpack(b"x" + archive)
    with pytest.raises(ValueError, match="name is cut short"):
        cpio.unpack(archive[:121])


@pytest.mark.skipif(not shutil.which("cpio"), reason="the host has no cpio to compare with")
def test_the_hosts_cpio_reads_it(tmp_path: Path) -> None:
    entries = cpio.with_parents([cpio.file("a/b", b"text\n", 0o640), cpio.link("l", "a/b")])
    listed = subprocess.run(
        ["cpio", "-tv", "--numeric-uid-gid", "--quiet"],
        input=cpio.pack(entries),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert [line.split()[0] for line in listed.splitlines()] == [
        "drwxr-xr-x",
        "-rw-r-----",
        "lrwxrwxrwx",
    ]
    assert all(line.split()[2:4] == ["0", "0"] for line in listed.splitlines())
    assert listed.splitlines()[2].endswith("l -> a/b")
