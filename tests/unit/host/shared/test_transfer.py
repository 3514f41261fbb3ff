from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from toolkit.host.shared import transfer


class Bucket:
    """As much of s3fs as is used, and what it was asked for."""

    protocol = ("s3", "s3a")

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def put_file(self, source: str, path: str) -> None:
        self.asked.append(("put", Path(source).read_text(), path))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_text("content")
    return tmp_path / "source"


def test_no_bucket_is_made(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (bucket, url.removeprefix("s3://")))
    assert transfer.main(["put", str(source), "s3://team/build/k.json"]) == 0
    assert bucket.asked == [("put", "content", "team/build/k.json")]


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_file_there_and_back(form: str, source: Path, tmp_path: Path) -> None:
    url = form.format(tmp_path / "store/build/k")
    assert transfer.main(["put", str(source), url]) == 0
    assert [path.name for path in (tmp_path / "store/build").iterdir()] == ["k"]
    assert transfer.main(["get", url, str(tmp_path / "back"), "7"]) == 0
    assert (tmp_path / "back").read_text() == "content"


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["get", str(tmp_path / "none"), str(tmp_path / "back"), "7"]
    assert transfer.main(words) == transfer.ABSENT
    assert "none" in capsys.readouterr().err


def test_where_nothing_can_be_written_nothing_is_absent(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer.main(["put", str(source), "/proc/none/k"]) == 1
    assert "FileNotFoundError" in capsys.readouterr().err


def test_what_is_larger_than_was_signed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer.main(["get", str(source), str(tmp_path / "back"), "6"]) == 1
    assert "is larger than 6 bytes" in capsys.readouterr().err


def test_a_copy_that_fails_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "mv", full)
    assert transfer.main(["put", str(source), str(tmp_path / "store/k")]) == 1
    assert list((tmp_path / "store").iterdir()) == []
