from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit, mail
from toolkit.core.errors import UserError
from toolkit.series import reader
from toolkit.series.reader import PatchFiles


def box(tmp_path: Path, *mails: bytes) -> PatchFiles:
    path = tmp_path / "box.mbox"
    path.write_bytes(b"".join(mails))
    return reader.read(path)


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
    assert found.notices == ()


def test_without_numbers_the_file_s_order_counts(tmp_path: Path) -> None:
    found = box(tmp_path, mail(edit("b"), "[PATCH] z"), mail(edit("a"), "[PATCH] a"))
    assert [patch.subject for patch in found.patches] == ["z", "a"]


def test_a_single_mail_without_its_from_line(tmp_path: Path) -> None:
    found = box(tmp_path, part(1, 1).partition(b"\n")[2])
    assert found.patches[0].subject == "step 1"


def test_what_a_patch_says_of_itself(tmp_path: Path) -> None:
    (patch,) = box(tmp_path, part(1, 1)).patches
    assert (patch.author, patch.date) == (
        "A Hacker <a@example.org>",
        "Wed, 27 May 2009 12:00:00 +0000",
    )
    assert patch.message == "Why."
    assert patch.diff.startswith(b"---\n")
    assert patch.content == part(1, 1)


def test_crlf_throughout(tmp_path: Path) -> None:
    data = b"".join((part(1, 2), part(2, 2))).replace(b"\n", b"\r\n")
    assert b"\r" not in b"".join(patch.content for patch in box(tmp_path, data).patches)


@pytest.mark.parametrize(
    ("mails", "what"),
    [
        ((part(1, 2), part(2, 3)), "parts of several series (n/2, n/3)"),
        ((part(0, 2),), "holds no patch"),
        ((mail("", "[PATCH 1/1] no diff"),), "changes no file"),
        ((part(1, 2), mail("", "[PATCH 2/2] no diff")), "mail 2 changes no file"),
        ((mail("", "hello"),), "holds no patch"),
        ((b"",), "it is empty"),
        ((b"\x7fELF\0\0\0",), "holds no patch"),
        ((part(1, 1).replace(b"a/f1.c", b"a/../f1.c"),), "refused"),
    ],
)
def test_what_is_no_series(tmp_path: Path, mails: tuple[bytes, ...], what: str) -> None:
    assert what in refused(tmp_path, *mails)


def test_a_subject_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    found = box(tmp_path, mail(edit("a"), "[PATCH] ../../etc/passwd \t x"))
    assert found.patches[0].name == "0001-etc-passwd-x.patch"


def test_a_folder_is_sorted_and_its_cover_kept_apart(tmp_path: Path) -> None:
    for name in ("0002-b", "0001-a"):
        (tmp_path / f"{name}.patch").write_bytes(mail(create(name), f"[PATCH] {name}"))
    (tmp_path / "0000-cover-letter.patch").write_bytes(mail("", "[PATCH 0/2] All of it"))
    (tmp_path / "notes.txt").write_text("mine\n")
    found = reader.read(tmp_path)
    assert [patch.name for patch in found.patches] == ["0001-a.patch", "0002-b.patch"]
    assert found.title == "All of it"
    assert found.patches[0].path == tmp_path / "0001-a.patch"


def test_each_mail_of_a_file_is_a_patch(tmp_path: Path) -> None:
    """Several mails in one file, of several encodings, each read by its own."""
    diff = create("b.c", "int a = 1; /* \u00e9 */\n").encode()
    coded = mail("", "[PATCH] b", "Content-Transfer-Encoding: quoted-printable\n")
    coded = coded.partition(b"\n\n")[0] + b"\n\nWhy.\n---\n" + quoted(diff)
    plain = mail(create("c.c", "int a =3D 1;\n"), "[PATCH] c")
    (tmp_path / "0001-all.patch").write_bytes(mail(create("a.c"), "[PATCH] a") + coded + plain)
    (tmp_path / "0002-last.patch").write_bytes(mail(create("d.c"), "[PATCH] d"))
    found = reader.read(tmp_path)
    assert [patch.subject for patch in found.patches] == ["a", "b", "c", "d"]
    assert "int a = 1; /* \u00e9 */".encode() in found.patches[1].content
    assert b"int a =3D 1;" in found.patches[2].content
    assert [patch.name for patch in found.patches][1:] == [
        "0002-b.patch",
        "0003-c.patch",
        "0002-last.patch",
    ]


def quoted(data: bytes) -> bytes:
    import quopri

    return quopri.encodestring(data)


def test_a_folder_s_file_that_is_no_patch_is_named(tmp_path: Path) -> None:
    (tmp_path / "0001-a.patch").write_bytes(mail(create("a")))
    (tmp_path / "0002-b.patch").write_bytes(b"")
    with pytest.raises(UserError, match=r"0002-b\.patch is no patch: it is empty"):
        reader.read(tmp_path)


def test_a_diff_without_a_mail_is_called_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "fix-it.diff").write_text(edit("a.c"))
    (patch,) = reader.read(tmp_path / "fix-it.diff").patches
    assert (patch.subject, patch.author) == ("fix-it.diff", "")
    nobody = mail(edit("a.c"), "[PATCH] a").replace(b"From: A Hacker <a@example.org>\n", b"")
    assert box(tmp_path, nobody).patches[0].subject == "a"  # git am wants an author for its commit
    (tmp_path / "fix-it.patch").write_text("Description: a fix\n\n" + edit("a.c"))
    (patch,) = reader.read(tmp_path / "fix-it.patch").patches
    assert patch.subject == "fix-it"


def test_what_a_series_says_of_its_base(tmp_path: Path) -> None:
    base, before = "c" * 40, "d" * 40
    words = (
        f"What it does.\n\nLink: https://example.org/1\n\n---\nbase-commit: {base}\n"
        f"prerequisite-patch-id: {before}\nchange-id: 20240102-thing-0123456789ab\n"
    )
    lists = "To: kvm@vger.kernel.org, someone@example.org\nCc: X <linux-mm@kvack.org>\n"
    cover = mail("", "[PATCH v3 0/1] all", lists).replace(b"Why.\n", words.encode())
    found = box(tmp_path, cover, part(1, 1, "PATCH v3")).posting
    assert (found.version, found.base_commit, found.prerequisites) == (3, base, (before,))
    assert found.change_id == "20240102-thing-0123456789ab"
    assert found.links == ("https://example.org/1",)
    assert box(tmp_path, cover, part(1, 1, "PATCH v3")).mailing is None  # it was never sent
    sent = cover.replace(b"Date:", b"Message-Id: <a@b>\nDate:")
    mailing = box(tmp_path, sent, part(1, 1, "PATCH v3")).mailing
    assert mailing is not None
    assert (mailing.message_id, mailing.base_commit) == ("<a@b>", base)
    assert found.lists == ("kvm@vger.kernel.org", "linux-mm@kvack.org")


def test_the_base_below_a_single_patch(tmp_path: Path) -> None:
    below = b"\nbase-commit: " + b"c" * 40 + b"\n-- \n"
    found = box(tmp_path, part(1, 1).replace(b"-- \n", below))
    assert found.posting.base_commit == "c" * 40


def test_a_mail_at_hand() -> None:
    found = reader.read_mail(part(2, 3, "PATCH v4"), "standard input")
    assert (found.subject, found.is_patch) == ("step 2", True)
    assert (found.headers.tags.version, found.headers.tags.number) == (4, 2)
    with pytest.raises(UserError, match="standard input is no mail"):
        reader.read_mail(b"hello\n", "standard input")
    assert len(reader.read_bytes(part(1, 1), "m").patches) == 1
