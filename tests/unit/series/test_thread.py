from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.series.mails import ALICE, BOB, Posted, posting, reply
from toolkit.core.errors import UserError
from toolkit.core.model.series import Trailer
from toolkit.series import reader
from toolkit.series.reader import PatchFiles


def read(*mails: Posted, version: int | None = None, release: str | None = None) -> PatchFiles:
    data = b"".join(each.mail() for each in mails)
    return reader.read_bytes(data, "thread.mbox", version, release)


def texts(files: PatchFiles) -> list[str]:
    """Return what each patch adds, which tells versions of one patch apart."""
    return [patch.diff.split(b" @@\n+")[1].split(b"\n")[0].decode() for patch in files.patches]


def subjects(files: PatchFiles) -> list[str]:
    return [patch.subject for patch in files.patches]


def refused(*mails: Posted, version: int | None = None, release: str | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        read(*mails, version=version, release=release)
    return caught.value


def test_a_diff_in_answer_to_a_cover_letter_is_a_patch_where_there_is_no_other() -> None:
    cover, *_ = posting(3)
    fixup = Posted("Re: [PATCH 0/3] all of it", "fix.c", to=cover, sender=BOB)
    for mails in ([fixup], [cover, fixup]):
        files = read(*mails)
        assert texts(files) == ["new"]
        assert files.notices == ("the series is not whole: patch 1, 2, 3 of 3 is missing",)
    assert read(cover, fixup).title == "all of it"
    alone = read(Posted("[PATCH 0/1] a patch with the number of a cover letter", "a.c"))
    assert (subjects(alone), alone.cover) == ([alone.title], None)


# --- talk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Re", "AW", "SV", "Antw", "\u7b54\u590d", "Re[2]", "Fwd: Re"])
def test_a_reply_is_none_of_the_series_whatever_its_language(word: str) -> None:
    """Some mail programs quote without a sign, so that the diff stands there again."""
    cover, first, second = posting(2)
    answer = Posted(f"{word}: {first.subject}", first.file, first, BOB, "Nice.\n")
    found = read(cover, first, second, answer)
    assert subjects(found) == ["step 1", "step 2"]
    assert found.notices == ()


def test_talk_without_a_subject_and_mails_that_are_none() -> None:
    cover, first = posting(1)
    broken = Posted("=?rot13?q?=FF?=", to=first)
    found = read(cover, first, reply(first, "Hm.\n", subject=" "), Posted("a question"), broken)
    assert subjects(found) == ["step 1"]
    assert "thread.mbox, mail 5 cannot be read" in found.notices[0]


def test_thanks_that_repeat_the_subject() -> None:
    patch = Posted("[PATCH] step 1", "f.c")
    assert subjects(read(patch, Posted("[PATCH] step 1", to=patch, body="Applied, thanks.\n")))


def test_a_patch_that_only_a_reply_holds_is_better_than_none() -> None:
    talk = Posted("what about this bug")
    found = read(talk, Posted("Re: what about this bug", "fix.c", talk))
    assert subjects(found) == ["what about this bug"]


# --- versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["PATCH v2", "PATCHv2", "RFC PATCH V2", "PATCH-v2", "v2 PATCH"])
def test_the_newest_version_counts_however_it_is_written(tag: str) -> None:
    old, new = posting(2), posting(2, tag)
    new[1].text = "newer\n"
    for order in ((*old, *new), (*new, *old), (*old, new[2], new[0], new[1])):
        found = read(*order)
        assert found.posting.version == 2
        assert texts(found) == ["newer", "new"]
    assert texts(read(*old, *new, version=1)) == ["new", "new"]


def test_a_version_that_is_not_there() -> None:
    error = refused(*posting(1), *posting(1, "PATCH v3"), version=2)
    assert error.what == "thread.mbox holds no version 2"
    assert error.hint == "there is: v1, v3"


def test_a_second_version_without_numbers_takes_the_first_s_place() -> None:
    first = Posted("[PATCH] fix it", "f.c", text="one\n")
    second = Posted("[PATCH v2] fix it", "f.c", first, text="two\n")
    assert texts(read(first, second)) == ["two"]


def test_only_some_patches_were_sent_again() -> None:
    """A partial reroll: b4 fills it up from the version before."""
    cover, first, second = posting(2)
    again = Posted("[PATCH v2 2/2] step 2", "f2.c", second, text="newer\n")
    found = read(cover, first, second, again)
    assert subjects(found) == ["step 1", "step 2"]
    assert texts(found) == ["new", "newer"]
    assert found.posting.version == 2


def test_a_version_with_a_point() -> None:
    cover, *patches = posting(3, "PATCH v7")
    again = Posted("[PATCH v7.1 3/3] step 3", "f3.c", patches[2], text="newer\n")
    found = read(cover, *patches, again)
    assert texts(found) == ["new", "new", "newer"]


def test_branches_are_no_versions() -> None:
    for tag in ("PATCH 6.1/6.12", "PATCH v6.12.y", "PATCH stable 6.12.y", "PATCH v6.12"):
        found = read(*posting(2, tag)[1:])
        assert (subjects(found), found.posting.version) == (["step 1", "step 2"], 1)
    assert subjects(read(Posted("[PATCH 5.10/5.15] fix", "f.c"))) == ["fix"]
    old, new = posting(2, "PATCH v6.12.y"), posting(2, "PATCH v6.12.y v2")
    new[2].text = "newer\n"
    assert texts(read(*old, *new)) == ["new", "newer"]


def for_kernels() -> list[Posted]:
    """Return a thread with one patch for three stable kernels, each form another text."""
    first = Posted("[PATCH 6.12.y] fix it", "f.c", text="on 6.12\n")
    others = [
        Posted("[PATCH 6.6.y/6.1.y] fix it", "f.c", first, text="on 6.6 and 6.1\n"),
        Posted("[PATCH v5.10] fix it", "f.c", first, text="on 5.10\n"),
    ]
    return [first, *others, reply(others[0], "Acked-by: Bob Example <bob@example.org>\n")]


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ("6.12.117", "on 6.12"),
        ("6.6.1", "on 6.6 and 6.1"),
        ("6.1.170-rc1", "on 6.6 and 6.1"),
        ("5.10", "on 5.10"),
        (None, "on 6.12"),
    ],
)
def test_one_patch_for_several_kernels_is_chosen_by_release(release: str | None, text: str) -> None:
    """On purpose: git am and b4 take all of them, one on top of the other."""
    found = read(*for_kernels(), release=release)
    assert texts(found) == [text]
    assert found.posting.version == 1
    others = {"on 6.12": "5.10, 6.6/6.1", "on 5.10": "6.6/6.1, 6.12"}.get(text, "5.10, 6.12")
    (notice,) = found.notices
    assert notice.endswith(f"left out: {others}")
    replies = [each.text for each in found.posting.trailers]
    assert bool(replies) == (text == "on 6.6 and 6.1")
    assert found.posting.kernels == notice.split("Linux ")[1].split(";")[0]


def test_one_patch_for_several_kernels_and_none_for_this_one() -> None:
    error = refused(*for_kernels(), release="5.15.3")
    assert error.what == (
        "thread.mbox holds patches for Linux 5.10, 6.6/6.1, 6.12, and none for 5.15.3"
    )
    assert "--kernel" in error.hint


def test_each_kernel_has_a_series_of_its_own_length() -> None:
    new, old = posting(2, "PATCH 6.6.y"), posting(3, "PATCH 6.1.y")
    assert len(read(*new, *old, release="6.6.2").patches) == 2
    found = read(*new, *old, release="6.1.2")
    assert (len(found.patches), found.cover is not None) == (3, True)


def test_the_patch_for_no_kernel_in_particular_is_for_all_others() -> None:
    plain = Posted("[PATCH] fix it", "f.c", text="on all\n")
    old = Posted("[PATCH 6.1.y] fix it", "f.c", plain, text="on 6.1\n")
    for release in ("6.12.1", None):
        assert texts(read(plain, old, release=release)) == ["on all"]
    assert texts(read(plain, old, release="6.1.3")) == ["on 6.1"]
    assert texts(read(old, release="6.12.1")) == ["on 6.1"]


def test_the_form_that_names_one_kernel_goes_before_one_for_many() -> None:
    many = Posted("[PATCH AUTOSEL 6.17-5.10] fix it", "f.c", text="many\n")
    one = Posted("[PATCH 6.1.y] fix it", "f.c", many, text="one\n")
    for order in ((many, one), (one, many)):
        assert texts(read(*order, release="6.1.3")) == ["one"]
        assert texts(read(*order, release="6.6.3")) == ["many"]


def test_what_did_not_fit_a_stable_kernel_is_no_form_for_the_others() -> None:
    failed = Posted(
        'FAILED: patch "[PATCH] fix it" failed to apply to 6.1-stable tree', "f.c", text="up\n"
    )
    back = Posted("[PATCH 6.1.y] fix it", "f.c", failed, text="back\n")
    assert texts(read(failed, back, release="6.12.1")) == ["back"]
    assert texts(read(failed)) == ["up"]


def test_a_series_sent_again_as_it_was() -> None:
    old, new = posting(2, "PATCH v4"), posting(2, "RESEND PATCH v4")
    new[2].text = "newer\n"
    for order in ((*old, *new), (*new, *old)):
        found = read(*order)
        assert texts(found) == ["new", "newer"]
        assert found.mailing is not None
        assert found.mailing.message_id == f"<{new[0].identity}>"
    alone = Posted("[PATCH] a", "f.c", text="one\n")
    assert texts(read(alone, Posted("[PATCH RESEND] a", "f.c", alone, text="two\n"))) == ["two"]


# --- what belongs together ---------------------------------------------------------------------


def test_a_fixup_beside_a_numbered_series_is_left_out_and_named() -> None:
    cover, first, second = posting(2)
    found = read(cover, first, second, Posted("[PATCH] how about this", "x.c", second, BOB))
    assert subjects(found) == ["step 1", "step 2"]
    assert found.notices == ("left out, for it has no number: 'how about this'",)


def test_another_s_fixup_of_a_lone_patch_is_left_out_and_named() -> None:
    patch = Posted("[PATCH] fix it", "f.c")
    found = read(patch, Posted("[PATCH] or so", "g.c", patch, BOB))
    assert subjects(found) == ["fix it"]
    assert "'or so'" in found.notices[0]


def test_an_author_s_patches_without_numbers_are_a_series() -> None:
    first = Posted("[PATCH] a", "a.c")
    found = read(first, Posted("[PATCH] b", "b.c", first), Posted("[PATCH] c", "c.c", first))
    assert subjects(found) == ["a", "b", "c"]


def test_patches_without_numbers_that_were_sent_twice() -> None:
    ids = ("1473632524-8585-{}-git-send-email-a@e.org", "20240102100000.77-{}-a@e.org")
    mails = [
        Posted(f"[PATCH] {name}", f"{name}.c", text=f"{name}{time}\n", identity=run.format(number))
        for time, run in enumerate(ids)
        for number, name in enumerate("ab", 1)
    ]
    assert texts(read(*mails)) == ["a1", "b1"]
    # What was sent together is a series, though the names may be the same.
    same = [Posted("[PATCH] a", f"{n}.c", identity=ids[0].format(n)) for n in (1, 2)]
    same[1].to = same[0]
    assert subjects(read(*same)) == ["a", "a"]


def test_a_patch_more_than_was_announced() -> None:
    cover, first, second = posting(2)
    found = read(cover, first, second, Posted("[PATCH 3/2] one more", "x.c", cover))
    assert subjects(found) == ["step 1", "step 2", "one more"]


def test_numbers_as_mercurial_writes_them() -> None:
    assert subjects(read(Posted("[PATCH 2 of 2] b", "b.c"), Posted("[PATCH 1 of 2] a", "a.c"))) == [
        "a",
        "b",
    ]


def test_a_patch_of_many_alone() -> None:
    found = read(Posted("[PATCH 2/7] step 2", "f.c"))
    assert subjects(found) == ["step 2"]
    assert found.notices == ("the series is not whole: patch 1, 3, 4, 5, 6, 7 of 7 is missing",)


def test_two_series_in_one_mailbox() -> None:
    assert "several series (n/1, n/2)" in refused(*posting(2), *posting(1)).what
    other = [Posted(f"[PATCH {n}/2] other {n}", f"o{n}.c", sender=BOB) for n in (1, 2)]
    assert "holds patch 1 more than once" in refused(*posting(2), *other).what


def test_a_mail_that_two_lists_carried() -> None:
    cover, first, second = posting(2)
    assert subjects(read(cover, first, first, second, cover)) == ["step 1", "step 2"]


def test_a_cover_letter_with_an_interdiff_is_no_patch() -> None:
    cover, first = posting(1)
    cover.file = "f1.c"
    found = read(cover, first)
    assert (subjects(found), found.title) == (["step 1"], "all of it")
    assert subjects(read(Posted("[PATCH 0/0] step", "f.c"))) == ["step"]


# --- what replies give ---------------------------------------------------------------------------


def test_trailers_of_replies_are_shown_and_not_applied() -> None:
    cover, first, second = posting(2)
    found = read(
        cover,
        first,
        second,
        reply(first, "> Why.\nReviewed-by: Bob Example <bob@example.org>\n"),
        reply(cover, "Acked-by: Carol Example <carol@example.org>\n", "Carol <carol@example.org>"),
        reply(second, "Tested-by: Somebody Else <else@example.org>\n"),
        reply(second, "What I want is Signed-off-by: of you.\n", ALICE),
    )
    texts = {(each.patch, each.text) for each in found.posting.trailers}
    assert texts == {
        (1, "Reviewed-by: Bob Example <bob@example.org>"),
        (0, "Acked-by: Carol Example <carol@example.org>"),
    }
    assert all(each.message_id.endswith("@example.org") for each in found.posting.trailers)
    assert b"Reviewed-by" not in found.patches[0].content


def test_a_trailer_of_the_version_before_holds_for_a_patch_that_is_the_same() -> None:
    old, new = posting(1), posting(1, "PATCH v2")
    given = reply(old[1], "Reviewed-by: Bob Example <bob@example.org>\n")
    found = read(*old, given, *new)
    assert found.posting.trailers == (
        Trailer(1, "Reviewed-by: Bob Example <bob@example.org>", given.identity),
    )


def test_answers_that_go_in_a_circle_cost_the_trailers_alone() -> None:
    patch = Posted("[PATCH 1/1] a", "f.c")
    first = reply(patch, "Acked-by: Bob Example <bob@example.org>\n")
    second = reply(first, "Acked-by: Bob Example <bob@example.org>\n")
    mails = [each.mail() for each in (patch, first, second)]
    circle = f"In-Reply-To: <{second.identity}>".encode()
    mails[1] = mails[1].replace(f"In-Reply-To: <{patch.identity}>".encode(), circle)
    other = reply(patch, "Tested-by: Bob Example <bob@example.org>\n").mail()
    found = reader.read_bytes(b"".join([*mails, other]), "thread.mbox")
    assert subjects(found) == ["a"]
    assert [each.text for each in found.posting.trailers] == [
        "Tested-by: Bob Example <bob@example.org>"
    ]
    assert found.notices == ()


def test_without_b4_there_are_no_trailers_and_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b4.py").write_text("raise SystemExit('no good')")
    monkeypatch.setattr("toolkit.series.picking._PROGRAM", tmp_path / "b4.py")
    patch = Posted("[PATCH 1/1] a", "f.c")
    found = read(patch, reply(patch, "Acked-by: Bob Example <bob@example.org>\n"))
    assert subjects(found) == ["a"]
    assert found.notices == ("what replies give is not shown, for b4 fails: no good",)


def test_nobody_s_settings_play_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "b4.trailers-ignore-from")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "bob@example.org")
    monkeypatch.setenv("HOME", "/nonexistent")
    cover, first = posting(1)
    found = read(cover, first, reply(first, "Acked-by: Bob Example <bob@example.org>\n"))
    assert len(found.posting.trailers) == 1
