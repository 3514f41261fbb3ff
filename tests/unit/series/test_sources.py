from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path

import pytest

from tests.unit.fake_tree import edit, mail
from toolkit.core.errors import UserError
from toolkit.series import catalog, reader
from toolkit.series.scratch import MAX_BYTES


def write(folder: Path, *names: str) -> Path:
    """Write a patch under each name, called after it."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cover = name.removeprefix("v2-").startswith("0000")
        subject = "[PATCH 0/2] all" if cover else f"[PATCH] {name}"
        file.write_bytes(mail("" if cover else edit(f"f{name.count('/')}.c"), subject))
    return folder


def subjects(place: Path, version: int | None = None) -> list[str]:
    return [patch.subject for patch in reader.read(place, version=version).patches]


def refused(place: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        reader.read(place)
    return caught.value


# --- a folder ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["0001-a.patch", "0002-b.patch"], ["0001-a.patch", "0002-b.patch"]),
        (["0001-a.PATCH", "0002-b.PATCH"], ["0001-a.PATCH", "0002-b.PATCH"]),
        (["b.diff", "a.diff"], ["a.diff", "b.diff"]),
        (["0001-a.txt", "0000-cover-letter.txt", "0002-b.txt"], ["0001-a.txt", "0002-b.txt"]),
        (["0002-b", "0001-a", "README"], ["0001-a", "0002-b"]),
        (["1", "2", "10"], ["1", "2", "10"]),
        (["1000-a.patch", "10000-c.patch", "1001-b.patch"],
         ["1000-a.patch", "1001-b.patch", "10000-c.patch"]),
        (["v2-0000-cover-letter.patch", "v2-0001-a.patch"], ["v2-0001-a.patch"]),
        (["0001-a.patch", "v2-0001-b.patch", "v2-0000-cover-letter.patch"], ["v2-0001-b.patch"]),
        (["0001-a.patch", "0001-a.patch~", ".0002-b.patch", ".#0003-c.patch", "0004-d.patch.orig",
          "#0005-e.patch#", ".0006-f.patch.swp", "notes.txt", "config"], ["0001-a.patch"]),
        (["2.eml", "1.eml"], ["1.eml", "2.eml"]),
        (["v2_am.mbx", "v2_am.cover"], ["v2_am.cover", "v2_am.mbx"]),
    ],
)  # fmt: skip
def test_which_files_of_a_folder_count(tmp_path: Path, names: list[str], wanted: list[str]) -> None:
    assert subjects(write(tmp_path, *names)) == wanted


def test_a_version_of_a_folder_with_several(tmp_path: Path) -> None:
    write(tmp_path, "0001-a.patch", "0002-b.patch", "v2-0001-a.patch")
    assert subjects(tmp_path, 1) == ["0001-a.patch", "0002-b.patch"]


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    assert "File name too long" in refused(tmp_path / ("x" * 5000)).what


def test_an_editor_s_lock_is_a_link_to_nowhere(tmp_path: Path) -> None:
    write(tmp_path, "0001-a.patch")
    (tmp_path / "0002-b.patch").symlink_to("me@host.1234")
    assert subjects(tmp_path) == ["0001-a.patch"]


def test_a_folder_without_patches_names_those_below(tmp_path: Path) -> None:
    write(tmp_path / "6.12", "0001-a.patch")
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/series").write_text("a.patch\n")
    assert refused(tmp_path).hint == "did you mean one of its folders: 6.12, debian?"
    (tmp_path / "empty").mkdir()
    assert "a quilt series" in refused(tmp_path / "empty").hint
    assert "No such file" in refused(tmp_path / "none").what


# --- quilt ---------------------------------------------------------------------------------------


def quilt(folder: Path, *lines: str) -> Path:
    (folder / "series").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_a_quilt_series_is_what_its_file_says(tmp_path: Path) -> None:
    write(tmp_path, "b.patch", "a.patch", "off.patch", "c.diff", "sub/d.patch", "unnamed.patch")
    lines = ("b.patch", "", "# off.patch", "a.patch # why", "c.diff -p1 # so", "sub/d.patch")
    wanted = ["b.patch", "a.patch", "c.diff", "sub/d.patch"]
    quilt(tmp_path, *lines)
    assert subjects(tmp_path) == wanted
    assert subjects(tmp_path / "series") == wanted
    found = catalog.resolve(str(tmp_path / "series"), tmp_path)
    assert (found.name, found.patches[3].name) == (tmp_path.name, "sub/d.patch")
    assert found.patches[0].context == 1


def test_levels_of_a_quilt_series(tmp_path: Path) -> None:
    flat = edit("lib/a.c").replace(" a/", " ").replace(" b/", " ")
    (tmp_path / "a.patch").write_text(flat)
    (patch,) = reader.read(quilt(tmp_path, "a.patch -p0")).patches
    assert (patch.strip, patch.subject) == (0, "a")
    found = reader.read(quilt(write(tmp_path, "a.patch"), "a.patch -x", "gone.patch"))
    assert len(found.patches) == 1
    assert [notice.split("series:")[1] for notice in found.notices] == [
        "1: '-x' is no patch level: passed over",
        "2: there is no gone.patch: passed over",
    ]
    assert "'-pab' is no patch level" in refused(quilt(tmp_path, "a.patch -pab")).what
    assert "'words' follows" in refused(quilt(tmp_path, "a.patch -p1 words")).what
    assert refused(quilt(tmp_path, "# nothing")).what.endswith("series names no patch")
    assert len(reader.read(quilt(tmp_path, "a.patch # not -R")).patches) == 1


def test_of_a_quilt_patch_a_cr_is_kept_unless_all_lines_have_one(tmp_path: Path) -> None:
    plain = mail(edit("a.c"), "[PATCH] a")
    own = plain.replace(b"+changed\n", b"+changed\r\n")
    (tmp_path / "a.patch").write_bytes(own)
    (patch,) = reader.read(quilt(tmp_path, "a.patch")).patches
    assert b"+changed\r\n" in patch.diff
    (tmp_path / "a.patch").write_bytes(plain.replace(b"\n", b"\r\n"))
    (patch,) = reader.read(quilt(tmp_path, "a.patch")).patches
    assert b"\r" not in patch.content


@pytest.mark.parametrize("line", ["a.patch -R", "a.patch -p1 -R # why"])
def test_a_quilt_series_takes_no_patch_back(tmp_path: Path, line: str) -> None:
    error = refused(quilt(write(tmp_path, "a.patch"), line))
    assert "series:1: -R takes a.patch back" in error.what
    assert "reversed patch" in error.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [("gone.patch\n" * 5001, "series:5001: more than 5000 patches"), ("#\n" * 600_000, "larger")],
)
def test_a_quilt_series_is_bounded(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "series").write_text(text)
    assert what in refused(tmp_path).what


def test_a_quilt_series_of_which_nothing_is_there(tmp_path: Path) -> None:
    error = refused(quilt(tmp_path, "gone.patch"))
    assert error.what.endswith("names no patch that is there")
    assert error.detail == (f"{tmp_path}/series:1: there is no gone.patch: passed over",)


@pytest.mark.parametrize("name", ["../out.patch", "sub/../../out.patch", "/etc/passwd", "link"])
def test_a_quilt_series_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, "out.patch")
    folder = write(tmp_path / "patches", "a.patch", "sub/b.patch")
    (folder / "link").symlink_to(tmp_path / "out.patch")
    error = refused(quilt(folder, "a.patch", name))
    assert f"series:2: {name} lies outside" in error.what
    assert "below it" in error.hint


@pytest.mark.parametrize("names", [["v2-0001-a.patch"], ["0001-a.patch", "v2-0001-a.patch"]])
def test_a_version_that_a_folder_does_not_hold_is_refused(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, *names)
    assert subjects(tmp_path, version=2) == ["v2-0001-a.patch"]
    with pytest.raises(UserError, match="holds no version 3") as caught:
        reader.read(tmp_path, version=3)
    assert caught.value.hint.endswith("v2")


# --- mailboxes -----------------------------------------------------------------------------------


def test_a_maildir_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path, "cur/9.a:2,S", "cur/10.a:2,S", "new/1.b")
    (tmp_path / "tmp").mkdir()
    assert subjects(tmp_path) == ["cur/9.a:2,S", "cur/10.a:2,S", "new/1.b"]


def test_a_digit_that_is_no_number_in_a_name_of_a_maildir(tmp_path: Path) -> None:
    write(tmp_path, "cur/1\u00b22", "cur/1a2", "new/0")
    assert len(subjects(tmp_path)) == 3


def test_what_gzip_packed(tmp_path: Path) -> None:
    plain = mail(edit("a.c"), "[PATCH] a")
    (tmp_path / "x.mbox.gz").write_bytes(gzip.compress(plain))
    assert subjects(tmp_path / "x.mbox.gz") == ["a"]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/0001-a.patch.gz").write_bytes(gzip.compress(plain))
    assert reader.read(tmp_path / "d").patches[0].name == "0001-a.patch"
    (tmp_path / "x.mbox.gz").write_bytes(gzip.compress(plain)[:-20])
    assert "damaged gzip" in refused(tmp_path / "x.mbox.gz").what


def test_what_becomes_too_large_is_refused_before_it_is(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"\0" * (MAX_BYTES + 1)))
    assert "larger than 64 MiB" in refused(tmp_path / "bomb.gz").what
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than 64 MiB" in refused(tmp_path / "huge").what
    os.link(tmp_path / "huge", tmp_path / "0001-a.patch")
    assert "larger than 64 MiB" in refused(tmp_path).what


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = io.TextIOWrapper(io.BytesIO(mail(edit("a.c"), "[PATCH] a")))
    monkeypatch.setattr(sys, "stdin", stream)
    for _ in range(2):  # whoever watches asks again
        found = catalog.resolve("-", tmp_path)
        assert (found.name, found.title) == ("standard-input", "a")
    assert catalog.places("-", tmp_path) == ()


def test_a_mark_that_says_it_is_utf8(tmp_path: Path) -> None:
    (tmp_path / "x.patch").write_bytes(b"\xef\xbb\xbf" + mail(edit("a.c"), "[PATCH] a"))
    assert subjects(tmp_path / "x.patch") == ["a"]


@pytest.mark.parametrize("name", ["0001-x.patch", "series"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert refused(tmp_path / name).what.endswith(": it is a pipe")
    assert "has no patch" in refused(tmp_path).what


def test_what_to_watch(tmp_path: Path) -> None:
    folder = quilt(write(tmp_path / "p", "a.patch"), "a.patch")
    assert catalog.places(str(folder / "series"), tmp_path) == (folder,)
    assert catalog.places(str(folder), tmp_path) == (folder,)
    with pytest.raises(UserError, match="there is no series 'nothing'"):
        catalog.places("nothing", tmp_path)
