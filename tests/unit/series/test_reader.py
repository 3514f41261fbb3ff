from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, mail
from toolkit.core.errors import UserError
from toolkit.series.reader import PatchFiles, read_folder, read_mbox


def box(tmp_path: Path, *mails: bytes) -> PatchFiles:
    path = tmp_path / "box.mbox"
    path.write_bytes(b"".join(mails))
    return read_mbox(path)


def refused(tmp_path: Path, *mails: bytes) -> str:
    with pytest.raises(UserError) as caught:
        box(tmp_path, *mails)
    return caught.value.what


def part(number: int, total: int = 3, tag: str = "PATCH", path: str = "") -> bytes:
    diff = edit(path or f"f{number}.c") if number else ""
    return mail(diff, f"[{tag} {number}/{total}] step {number}")


def test_the_numbers_make_the_order(tmp_path: Path) -> None:
    found = box(tmp_path, part(2), part(0), part(3), part(1))
    assert [patch.name for patch in found.patches] == [
        "0001-step-1.patch",
        "0002-step-2.patch",
        "0003-step-3.patch",
    ]
    assert found.title == "step 0"
    assert found.cover_letter.startswith("Why.")


def test_replies_and_talk_are_left_out(tmp_path: Path) -> None:
    reply = mail("> diff --git a/x b/x\n", "Re: [PATCH 1/1] step 1")
    patched_reply = mail(edit("other.c"), "Re: [PATCH 1/1] how about this")
    talk = mail("", "A question")
    found = box(tmp_path, part(1, 1), reply, patched_reply, talk)
    assert [patch.subject for patch in found.patches] == ["step 1"]


def test_without_numbers_the_file_s_order_counts(tmp_path: Path) -> None:
    found = box(tmp_path, mail(edit("b"), "[PATCH] z"), mail(edit("a"), "[PATCH] a"))
    assert [patch.subject for patch in found.patches] == ["z", "a"]


def test_a_single_mail_without_its_from_line(tmp_path: Path) -> None:
    found = box(tmp_path, part(1, 1).partition(b"\n")[2])
    assert found.patches[0].subject == "step 1"


def test_crlf_throughout(tmp_path: Path) -> None:
    data = b"".join((part(1, 2), part(2, 2))).replace(b"\n", b"\r\n")
    assert b"\r" not in b"".join(patch.content for patch in box(tmp_path, data).patches)


@pytest.mark.parametrize(
    ("mails", "what"),
    [
        ((part(1), part(3)), "lacks patch 2 of 3"),
        ((part(2, 2), part(0, 2)), "lacks patch 1 of 2"),
        ((part(1, 2), part(1, 2), part(2, 2)), "holds patch 1 more than once"),
        ((part(1, 2), part(2, 2, "PATCH v2")), "holds versions v1, v2"),
        ((part(1, 2), part(2, 3)), "parts of several series (n/2, n/3)"),
        ((part(1, 1), mail(edit("a"), "[PATCH] x")), "with and without a number"),
        ((part(1, 1), part(2, 1)), "holds patch 2 of 1"),
        ((part(0, 2),), "holds no patch"),
        ((mail("", "[PATCH 1/1] no diff"),), "changes no file"),
        ((mail("", "hello"),), "holds no patch"),
        ((b"",), "not in git format-patch form"),
        ((b"\x7fELF\0\0\0",), "not in git format-patch form"),
        ((part(1, 1).replace(b"a/f1.c", b"a/../f1.c"),), "refused"),
    ],
)
def test_what_is_no_whole_series(tmp_path: Path, mails: tuple[bytes, ...], what: str) -> None:
    assert what in refused(tmp_path, *mails)


def test_a_subject_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    found = box(tmp_path, mail(edit("a"), "[PATCH] ../../etc/passwd \t x"))
    assert found.patches[0].name == "0001-etc-passwd-x.patch"


def test_a_folder_is_sorted_and_its_cover_kept_apart(tmp_path: Path) -> None:
    for name in ("0002-b", "0001-a"):
        (tmp_path / f"{name}.patch").write_bytes(mail(create(name), f"[PATCH] {name}"))
    (tmp_path / "0000-cover-letter.patch").write_bytes(mail("", "[PATCH 0/2] All of it"))
    (tmp_path / "notes.txt").write_text("mine\n")
    found = read_folder(tmp_path)
    assert [patch.name for patch in found.patches] == ["0001-a.patch", "0002-b.patch"]
    assert found.title == "All of it"


def test_a_folder_without_patches_names_those_below(tmp_path: Path) -> None:
    (tmp_path / "6.12").mkdir()
    (tmp_path / "6.12/0001-a.patch").write_bytes(mail(create("a")))
    with pytest.raises(UserError) as caught:
        read_folder(tmp_path)
    assert caught.value.hint == "did you mean one of its folders: 6.12?"
