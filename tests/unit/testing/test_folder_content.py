"""What counts of a suite's folder is what a build's copy of it has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.testing import folder_content
from toolkit.testing.folder_content import digests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "suites/mine"
    (folder / "sub").mkdir(parents=True)
    (folder / "Makefile").write_text("include ../lib.mk\n")
    (folder / "sub/a.c").write_text("int a;\n")
    (tmp_path / "suites/shared").mkdir()
    (tmp_path / "suites/shared/b.c").write_text("int b;\n")
    return folder


def copied(folder: Path, target: Path) -> set[str]:
    """Return the files that a build copies."""
    argv = ["rsync", "-a", "--exclude=.git", "--copy-unsafe-links", f"{folder}/", f"{target}/"]
    subprocess.run(argv, check=True)
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


def test_every_file_that_is_copied_counts_and_no_other(folder: Path, tmp_path: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git/index").write_text("changes with each commit\n")
    (folder / ".depend").write_text("a.o: a.h\n")
    (folder / "linked").symlink_to("../shared")
    (folder / "b_test.c").symlink_to("../shared/b.c")
    (folder / "gone").symlink_to("nowhere")
    found = digests(folder)
    assert found.keys() == copied(folder, tmp_path / "copy")
    assert found.keys() == {"Makefile", "sub/a.c", ".depend", "linked/b.c", "b_test.c"}
    (folder.parent / "shared/b.c").write_text("int other;\n")
    after = digests(folder)
    assert {name for name in found if found[name] != after[name]} == {"linked/b.c", "b_test.c"}


def test_a_link_to_a_folder_inside_is_no_second_copy(folder: Path) -> None:
    (folder / "again").symlink_to("sub")
    (folder / "sub/up").symlink_to("..")
    assert digests(folder).keys() == {"Makefile", "sub/a.c"}


def test_whether_a_script_can_be_executed_counts(folder: Path) -> None:
    script = folder / "sub/run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    before = digests(folder)
    script.chmod(0o755)
    assert digests(folder)["sub/run.sh"] != before["sub/run.sh"]


def test_links_that_go_round_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "sub/out").symlink_to("../../../suites")
    with pytest.raises(UserError, match="sub/out leads to a folder that it lies in"):
        digests(folder)
    (folder / "sub/out").unlink()
    (folder / "out").symlink_to("../shared")
    (folder.parent / "shared/back").symlink_to("../mine")
    assert "out/b.c" in digests(folder)


def test_what_cannot_be_read_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match=r"cannot read .*/Makefile: Permission denied") as caught:
        digests(folder, "name another")
    assert caught.value.hint == "name another"


def test_it_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(folder_content.MAX_BYTES)
    with pytest.raises(UserError, match="has more than 1024 MiB or 100000 files"):
        digests(folder)
    (folder / "large").unlink()
    monkeypatch.setattr(folder_content, "_MAX_FILES", 1)
    with pytest.raises(UserError, match="or 1 files"):
        digests(folder)
