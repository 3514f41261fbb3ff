from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.core import files
from toolkit.core.errors import UserError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in ([b"old"], [b"new", b" one\n"]):
        files.replace(file, content)
        assert file.read_bytes() == b"".join(content)
    assert list(tmp_path.iterdir()) == [file]


def test_a_text_that_somebody_wrote(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("é\n")
    assert files.text(file) == "é\n"
    for content, problem in (
        (b"\xe9\n", r"cannot read .*/file: it is not UTF-8 text \(byte 0\)"),
        (b"a" * (files.MAX_BYTES + 1), "it is larger than 4 MiB"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=problem):
            files.text(file)
    for path, problem in (
        (tmp_path, "cannot read the list .*: Is a directory"),
        (tmp_path / "none", "No such file or directory"),
        (Path("/dev/zero"), "it is a device"),
    ):
        with pytest.raises(UserError, match=problem):
            files.text(path, "the list")


def test_nobody_waits_for_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe"):
        files.content(tmp_path / "pipe", 1 << 20)
    host, terminal = os.openpty()
    try:
        with pytest.raises(OSError, match="it is a terminal"):
            files.content(Path(os.ttyname(terminal)), 1 << 20)
    finally:
        os.close(host)
        os.close(terminal)
    assert files.content(Path("/dev/null"), 1 << 20) == b""


def test_a_link_to_a_file_will_do_and_what_is_too_large_will_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a" * (1 << 20))
    (tmp_path / "link").symlink_to("file")
    assert files.content(tmp_path / "link", 1 << 20) == b"a" * (1 << 20)
    (tmp_path / "file").write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        files.content(tmp_path / "link", 1 << 20)


def test_what_stops_amid_it_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.replace(file, parts())
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(OSError):
        files.replace(tmp_path / "absent/file", [b"new"])
