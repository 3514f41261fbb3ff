from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from toolkit.core.errors import InfrastructureError
from toolkit.vm import transfer_disk
from toolkit.vm.qemu_argv import PAYLOAD_SERIAL


def an_archive(**files: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, size in files.items():
            member = tarfile.TarInfo(f"kselftest/{name}")
            member.size = size
            archive.addfile(member, io.BytesIO(name[:1].encode() * size))
    return buffer.getvalue()


class Guest:
    """A folder that looks like a guest's root, in which a shell runs what a guest would."""

    def __init__(self, root: Path, disk: Path) -> None:
        self.root = root
        for name, serial in (("vda", "root"), ("vdb", PAYLOAD_SERIAL), ("vdc", "")):
            (root / "sys/block" / name).mkdir(parents=True)
            # drivers/block/virtio_blk.c, serial_show(): no newline behind it.
            (root / "sys/block" / name / "serial").write_text(serial)
        (root / "sys/block/fd0").mkdir()
        (root / "dev").mkdir()
        (root / "dev/vdb").symlink_to(disk)
        (root / "dev/vda").write_text("no archive")

    def run(self, command: str) -> int:
        for place in ("/sys/block", "/dev/${", "-C /"):
            assert place in command
            command = command.replace(place, place.replace("/", f"{self.root}/", 1))
        # Not every file system can read past the page cache.
        command = command.replace(" iflag=direct", "")
        return subprocess.run(["sh", "-c", command], check=False, stderr=subprocess.PIPE).returncode

    def files(self) -> dict[str, int]:
        place = self.root / "kselftest"
        return {path.name: path.stat().st_size for path in place.rglob("*") if path.is_file()}


def write(disk: Path, archive: bytes) -> None:
    assert transfer_disk.write(disk, lambda file: file.write(archive)) == len(archive)


def test_a_guest_unpacks_what_was_written_last(tmp_path: Path) -> None:
    with transfer_disk.blank(tmp_path) as disk:
        guest = Guest(tmp_path / "guest", disk)
        for files in ({"big": 700_000, "more": 5}, {"small": 3}):
            archive = an_archive(**files)
            write(disk, archive)
            assert guest.run(transfer_disk.unpacking(len(archive))) == 0
        assert guest.files() == {"big": 700_000, "more": 5, "small": 3}


def test_what_cannot_be_read_is_an_error_in_the_guest(tmp_path: Path) -> None:
    with transfer_disk.blank(tmp_path) as disk:
        guest = Guest(tmp_path / "guest", disk)
        archive = an_archive(big=700_000)
        write(disk, archive)
        assert guest.run(transfer_disk.unpacking(400_000)) != 0  # it ends within a file
        (guest.root / "sys/block/vdb/serial").write_text("another")
        assert guest.run(transfer_disk.unpacking(len(archive))) != 0
        (guest.root / "sys/block/vdb/serial").write_text(PAYLOAD_SERIAL)
        (guest.root / "dev/vdb").unlink()
        assert guest.run(transfer_disk.unpacking(len(archive))) != 0


def test_a_disk_is_a_hole_without_a_name_and_gone_in_the_end(tmp_path: Path) -> None:
    with transfer_disk.blank(tmp_path) as disk:
        status = disk.stat()
        assert (status.st_size, status.st_blocks, status.st_nlink) == (transfer_disk.SIZE, 0, 0)
        assert not list(tmp_path.iterdir())
    assert not disk.exists()


def test_no_space_is_the_hosts_fault(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with (
        pytest.raises(InfrastructureError, match="cannot make a file in"),
        transfer_disk.blank(missing),
    ):
        pass
    with pytest.raises(InfrastructureError, match=r"cannot write an archive for a guest: .*space"):
        write(Path("/dev/full"), b"something")


def test_an_archive_that_is_larger_than_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_disk, "SIZE", 8)
    with (
        transfer_disk.blank(tmp_path) as disk,
        pytest.raises(InfrastructureError, match="9 bytes do not fit on a guest's disk of 8"),
    ):
        write(disk, b"something")


@pytest.mark.parametrize(("line", "can"), [("=y", True), ("=m", False), (" is not set", False)])
def test_a_kernel_reads_a_disk_only_without_a_module(line: str, *, can: bool) -> None:
    assert transfer_disk.readable(f"CONFIG_BLOCK=y\nCONFIG_VIRTIO_BLK{line}\n") is can
