import base64
import zlib

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
        ("@@ -1 +1 @@\n-a\n+b\n" + edit("a"), "without the name of its file"),
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


# --- diffs that git did not make ---------------------------------------------------------------

HUNK = "@@ -1 +1 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("a/lib/x.c", "b/lib/x.c", "lib/x.c"),
        ("linux-6.12.orig/lib/x.c", "linux-6.12/lib/x.c", "lib/x.c"),
        ("linux/lib/x.c.orig", "linux/lib/x.c", "lib/x.c"),
        ("a/lib/x.c", "b/lib/x.c~", "lib/x.c"),
        ("a/lib/x.c\t2009-05-27 12:00:00.000000000 +0200", "b/lib/x.c\t2009-05-27", "lib/x.c"),
        ("a/lib/x.c  2009-05-27 12:00:00 -07:00", "b/lib/x.c  2009-05-27 12:00:00", "lib/x.c"),
        ("a/lib/x y.c\t(revision 7)", "b/lib/x y.c\t(working copy)", "lib/x y.c"),
        ("/dev/null", "b/lib/new.c", "lib/new.c"),
        ("/dev/null\t1970-01-01", "b/lib/new.c", "lib/new.c"),
        ("a/lib/gone.c", "/dev/null", "lib/gone.c"),
        ("a/lib///x.c", "b/lib//x.c", "lib/x.c"),
        ("Makefile", "Makefile", "Makefile"),
        ('"a/h\\303\\251.c"', '"b/h\\303\\251.c"', "hé.c"),
    ],
)
def test_the_name_in_a_traditional_diff(old: str, new: str, path: str) -> None:
    (found,) = sections(f"Index: x\n=======\n--- {old}\n+++ {new}\n{HUNK}")
    assert found.paths == (path,)
    assert found.strip == (0 if path == "Makefile" else 1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("a/../x", "b/../x", "leaves the tree"),
        ("a//etc/x", "/etc/x", "no name is left"),
        ("a/.git/config", "b/.git/config", "git's own"),
        ("a/x\r", "b/x\r", "carriage return"),
    ],
)
def test_a_traditional_diff_stays_inside(old: str, new: str, why: str) -> None:
    if why == "no name is left":
        old = new = "a/"
    assert why in refused(f"--- {old}\n+++ {new}\n{HUNK}")


def test_quilt_s_p0() -> None:
    patch = Patch("p", "x", f"--- lib/x.c\n+++ lib/x.c\n{HUNK}".encode(), strip=0)
    assert patchfile.sections(patch)[0].paths == ("lib/x.c",)
    patch = Patch("p", "x", edit("x.c").replace(" a/", " ").replace(" b/", " ").encode(), strip=0)
    assert patchfile.sections(patch)[0].paths == ("x.c",)


def test_words_that_look_like_headers() -> None:
    words = "diff --git is what it says\n\n--- a/x\n+++ b/x\nno hunk\n"
    (found,) = sections(words + edit("lib/x.c"))
    assert found.paths == ("lib/x.c",)


def test_a_rename_as_git_wrote_it_in_2005() -> None:
    diff = "diff --git a/x b/y\nsimilarity index 100%\nrename old x\nrename new y\n"
    assert sections(diff)[0].paths == ("x", "y")


def test_line_numbers_count_from_the_top_of_the_mail() -> None:
    content = mail(edit("a"))
    at = content.index(b"---\n")
    whole, below = Patch("p", "x", content), Patch("p", "x", content, diff_at=at)
    lines = [patchfile.sections(each)[0].hunks[0].line for each in (whole, below)]
    assert lines[0] == lines[1] == content[: content.index(b"@@")].count(b"\n") + 1


def binary(*hunks: str) -> str:
    head = "diff --git a/x.bin b/x.bin\nnew file mode 100644\nindex 0000000..1111111\n"
    return head + "GIT binary patch\n" + "".join(f"{hunk}\n\n" for hunk in hunks)


def test_what_binary_data_becomes_is_known_before_git_sees_it() -> None:
    assert sections(binary("literal 1073741824\nzcmZQz"))[0].inflated == 1 << 30
    # A delta of a few bytes may copy from the old file as often as it likes.
    told = b"\x05" + b"\x80\x80\x80\x80\x10"  # from 5 bytes to 4 GiB, as delta.h writes it
    line = "A" + base64.b85encode(zlib.compress(told)).decode()
    assert sections(binary(f"delta 6\n{line}"))[0].inflated == 1 << 32
    assert sections(binary("delta 6\nno base 85"))[0].inflated == 6


def test_more_lines_than_any_series_has() -> None:
    with pytest.raises(UserError, match="more than"):
        patchfile.sections(Patch("p", "x", b"\n" * (patchfile.MAX_LINES + 1)))
