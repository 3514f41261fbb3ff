import base64
import contextlib
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_tree import create, edit, mail
from toolkit.core.errors import UserError
from toolkit.core.model.series import Patch
from toolkit.formats import patchfile


def sections(diff: str | bytes) -> list[patchfile.Section]:
    return patchfile.sections(Patch("p.patch", "x", mail(diff)))


def refused(diff: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        sections(diff)
    return caught.value.what


# --- mail --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "title", "number", "total", "version"),
    [
        ("[PATCH] kvm: x", "kvm: x", None, None, 1),
        ("[PATCH v4 3/3] kvm: x", "kvm: x", 3, 3, 4),
        ("[KVM PATCH v4 03/12] kvm: x", "kvm: x", 3, 12, 4),
        ("[RFC][PATCH 0/2] cover", "cover", 0, 2, 1),
        ("[PATCH 1/1] kvm: [weird] 2/3 v9", "kvm: [weird] 2/3 v9", 1, 1, 1),
        ("kvm: no tag", "kvm: no tag", None, None, 1),
    ],
)
def test_subject(
    subject: str, title: str, number: int | None, total: int | None, version: int
) -> None:
    found = patchfile.read_mail(mail(edit("a"), subject), "m")
    assert (found.patch.subject, found.number, found.total, found.version) == (
        title,
        number,
        total,
        version,
    )
    assert found.is_patch
    assert not found.reply


def test_a_folded_and_encoded_subject() -> None:
    text = "[PATCH 1/2] =?UTF-8?q?kvm:_h=C3=A9?=\n =?UTF-8?q?llo?="
    assert patchfile.read_mail(mail(edit("a"), text), "m").patch.subject == "kvm: héllo"


def test_a_reply_is_told_apart() -> None:
    assert patchfile.read_mail(mail("", "Re: [PATCH] x"), "m").reply


def test_a_plain_mail_is_kept_byte_for_byte() -> None:
    content = mail(create("latin1.txt").encode() + b"\xe9\xff\n")
    assert patchfile.read_mail(content, "m").patch.content == content


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_transfer_encodings_are_undone(encoding: str) -> None:
    diff = create("a.txt", "caf\u00e9 = 1\n" + "long " * 40 + "\n").encode()
    code = base64.encodebytes if encoding == "base64" else quopri.encodestring
    header = f"From: a@b\nSubject: [PATCH] x\nContent-Transfer-Encoding: {encoding}\n\n"
    found = patchfile.read_mail(header.encode() + code(b"Why.\n---\n" + diff), "m")
    assert diff in found.patch.content
    assert patchfile.sections(found.patch)[0].paths == ("a.txt",)


def test_line_ends_of_the_transport_are_removed() -> None:
    content = mail(edit("a"))
    assert patchfile.read_mail(content.replace(b"\n", b"\r\n"), "m").patch.content == content


def test_a_carriage_return_in_the_diff_stays() -> None:
    content = mail(create("a.txt", "dos").replace("+dos", "+dos\r"))
    assert b"+dos\r\n" in content
    assert patchfile.read_mail(content, "m").patch.content == content


@pytest.mark.parametrize("data", [b"", edit("a").encode(), b"Subject: x\n\nno sender\n", b"\0\n"])
def test_what_is_no_mail_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="m is not in git format-patch form"):
        patchfile.read_mail(data, "m")


def test_split_mbox_knows_a_from_line_in_the_text() -> None:
    first = mail(edit("a")).replace(b"Why.", b"Why.\n\nFrom the review:\nFrom here on it works.")
    second = mail(edit("b"))
    assert patchfile.split_mbox(first + second) == [first, second]
    assert patchfile.split_mbox(b"no mbox\n") == []


@given(st.binary(max_size=300))
def test_any_bytes_are_a_mail_or_a_user_error(data: bytes) -> None:
    patchfile.split_mbox(data)
    with_head = b"From: a\nSubject: b\n" + data
    assert patchfile.read_mail(with_head, "m").patch.name == "m"
    with contextlib.suppress(UserError):
        patchfile.read_mail(data, "m")


# --- diffs -------------------------------------------------------------------------------


def test_an_edit_a_new_file_and_a_signature() -> None:
    found = sections(edit("virt/a.c") + create("b.c"))
    assert [section.paths for section in found] == [("virt/a.c",), ("b.c",)]
    assert [hunk.start for section in found for hunk in section.hunks] == [7, 0]
    assert found[0].hunks[0].text[0] == b"@@ -7,7 +7,7 @@"
    assert len(found[0].hunks[0].text) == 9


def test_lines_that_look_like_headers_inside_a_hunk() -> None:
    diff = (
        "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n"
        "--- a/../../etc/passwd\n-diff --git a/x b/x\n+++ b/y\n+@@ -1 +1 @@\n"
    )
    (found,) = sections(diff)
    assert found.paths == ("a",)


def test_both_names_of_a_rename_and_of_a_copy() -> None:
    rename = "diff --git a/old b/new\nsimilarity index 100%\nrename from old\nrename to new\n"
    copy = "diff --git a/x y b/z\nsimilarity index 100%\ncopy from x y\ncopy to z\n"
    assert [section.paths for section in sections(rename + copy)] == [("old", "new"), ("x y", "z")]


def test_names_only_in_the_diff_line() -> None:
    mode = "diff --git a/x y/z b/x y/z\nold mode 100644\nnew mode 100755\n"
    assert sections(mode)[0].paths == ("x y/z",)
    empty = "diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n"
    assert sections(empty)[0].paths == ("e",)


def test_quoted_names() -> None:
    diff = (
        edit("NAME").replace("a/NAME", r'"a/h\303\251\"\\"').replace("b/NAME", r'"b/h\303\251\"\\"')
    )
    assert sections(diff)[0].paths == ('hé"\\',)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../x", "leaves the tree"),
        ("a/../../x", "leaves the tree"),
        ("a/../b", "leaves the tree"),
        ("/etc/passwd", "is absolute"),
        (".git/config", "git's own"),
        ("sub/.GIT/hooks/x", "git's own"),
        ("a//b", "shortest form"),
        ("./a", "shortest form"),
        ("x" * 256, "too long"),
        ("/".join(["d" * 200] * 21), "too long"),
    ],
)
def test_paths_outside_are_refused(path: str, why: str) -> None:
    assert why in refused(edit(path))
    assert why in refused(create(path))
    rename = f"diff --git a/a b/{path}\nsimilarity index 100%\nrename from a\nrename to {path}\n"
    assert why in refused(rename)


def test_control_characters_in_a_name_are_refused_and_not_shown() -> None:
    what = refused(edit("X").replace("b/X", r'"b/\033[2J"'))
    assert "control characters" in what
    assert "\033" not in what


def test_names_that_are_not_utf8_are_refused() -> None:
    assert "not UTF-8" in refused(edit("X").replace("b/X", r'"b/\377"'))


@pytest.mark.parametrize("mode", ["120000", "160000", " 120000", "\t120000", "040000", "120000 "])
def test_only_plain_files(mode: str) -> None:
    assert "refused" in refused(create("link", "/etc/passwd", mode))
    change = f"diff --git a/a b/a\nold mode 100644\nnew mode {mode}\n"
    assert "refused" in refused(change)


@pytest.mark.parametrize(
    ("diff", "why"),
    [
        ("", "changes no file"),
        ("only text\n", "changes no file"),
        ("diff --git a/a b/a\nindex 1..2 100644\n", "changes no file"),
        ("diff --git a/a b/b\nold mode 100644\nnew mode 100755\n", "cannot be told apart"),
        (edit("a").replace("@@ -7,7", "@@ -7,x"), "broken hunk header"),
        (edit("a").replace("+7,7 @@", "+7,3 @@"), "counts fewer lines"),
        (edit("a").replace(" line 12", "line 12"), "broken hunk"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n" + edit("a"), "did not make"),
        (edit("a") + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "did not make"),
        (edit("a").replace(" a/a", " a").replace(" b/a", " b"), "no a/ or b/"),
    ],
)
def test_broken_patches_are_refused(diff: str, why: str) -> None:
    assert why in refused(diff)


def test_a_patch_that_is_cut_off() -> None:
    whole = mail(edit("a"))
    cut = whole[: whole.index(b" line 12")]
    with pytest.raises(UserError, match="cut off within a hunk"):
        patchfile.sections(Patch("p", "x", cut))


@given(st.text(alphabet="-+ @ab/.\n0123456789,gitdf", max_size=120))
def test_any_text_gives_sections_or_a_user_error(text: str) -> None:
    try:
        found = sections("diff --git a/a b/a\n" + text)
    except UserError:
        return
    for section in found:
        for path in section.paths:
            assert patchfile.path_problem(path.encode()) == ""
