from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.errors import InfrastructureError
from toolkit.matrix import json_file, outcome


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("run")
    (folder / "result.json").write_bytes(bytes(range(256)) * 40)
    (folder / "tests").mkdir()
    (folder / "tests/a.log").write_text("ok 1 a\n")
    return outcome.pack(folder)


def test_what_was_packed_is_unpacked(archive: bytes, tmp_path: Path) -> None:
    outcome.unpack(archive, tmp_path / "there")
    assert (tmp_path / "there/tests/a.log").read_text() == "ok 1 a\n"
    assert len((tmp_path / "there/result.json").read_bytes()) == 256 * 40


@given(data=st.data())
def test_what_was_damaged_on_its_way_is_the_host_s_fault(
    archive: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(archive) - 1))
    byte = data.draw(st.integers(1, 255))
    damaged = bytearray(archive)
    damaged[at] ^= byte
    broken = data.draw(st.sampled_from([bytes(damaged), archive[:at]]))
    try:
        outcome.unpack(broken, tmp_path_factory.mktemp("there"))
    except InfrastructureError as error:
        assert "damaged run folder" in error.what or "with" in error.what


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_a_file_that_holds_no_object_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert json_file.read(tmp_path / "x.json") is None
