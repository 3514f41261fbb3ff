import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats import mailheaders
from toolkit.formats.mailheaders import Tags


def stable(*kernels: tuple[int, int]) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    return tuple((each, each) for each in kernels)


@pytest.mark.parametrize(
    ("subject", "wanted"),
    [
        ("[PATCH] kvm: x", Tags()),
        ("[PATCH v4 3/3] kvm: x", Tags(3, 3, 4)),
        ("[KVM PATCH v4 03/12] kvm: x", Tags(3, 12, 4)),
        ("[RFC][PATCH 0/2] cover", Tags(0, 2)),
        ("[PATCHv2 1/2] x", Tags(1, 2, 2)),
        ("[PATCH1/2] x", Tags(1, 2)),
        ("[PATCH 1/1] kvm: [weird] 2/3 v9", Tags(1, 1)),
        ("[linux-foo] [PATCH 1/2] [media] x", Tags(1, 2)),
        ("[PATCH [RFC] 1/2] x", Tags(1, 2)),
        ("[PATCH 6.1/6.12 1/2] x", Tags(1, 2, kernels=stable((6, 1), (6, 12)))),
        ("[PATCH 5.10/5.15] x", Tags(kernels=stable((5, 10), (5, 15)))),
        ("[PATCH v6.12.y v2 1/2] x", Tags(1, 2, 2, kernels=stable((6, 12)))),
        ("[PATCH 6.12 001/144] x", Tags(1, 144, kernels=stable((6, 12)))),
        ("[PATCH stable 6.1 1/2] x", Tags(1, 2, kernels=stable((6, 1)))),
        ("[PATCH linux-5.10.y v3] x", Tags(version=3, kernels=stable((5, 10)))),
        ("[v4.19-stable PATCH] x", Tags(kernels=stable((4, 19)))),
        ("[PATCH 5.10.y&5.15.y] x", Tags(kernels=stable((5, 10), (5, 15)))),
        ("[PATCH AUTOSEL 6.17-5.10] x", Tags(kernels=(((5, 10), (6, 17)),))),
        ("Re: [PATCH 6.1.y] x", Tags(reply=True, kernels=stable((6, 1)))),
        ("[PATCH for-6.13] x", Tags()),
        ("[PATCH 1.1/3] x", Tags()),
        ("[PATCH v7.1 3/3] x", Tags(3, 3, 7, 1)),
        ("[PATCH 2 of 3] x", Tags(2, 3)),
        ("[PATCH, v3, 1/2] x", Tags(1, 2, 3)),
        ("[net,v2,1/2] x", Tags(1, 2, 2)),
        ("[PATCH 0/0] x", Tags()),
        ("[PATCH RESEND v4 1/2] x", Tags(1, 2, 4, resend=True)),
        ("Re: [PATCH 1/2] x", Tags(1, 2, reply=True)),
        ("AW: Re: [PATCH] x", Tags(reply=True)),
        ("\u7b54\u590d\uff1a [PATCH] x", Tags(reply=True)),
        ("kvm: no tag", Tags()),
        ("net: [PATCH] x", Tags()),
        ("[PATCH x", Tags()),
        ("[" * 1000 + "PATCH" + "]" * 1000, Tags()),
    ],
)
def test_the_tags_of_a_subject(subject: str, wanted: Tags) -> None:
    assert mailheaders.tags(subject) == wanted


def test_a_short_word_before_the_tag_of_an_answer_is_some_language_s_re() -> None:
    assert mailheaders.tags("YNT: [PATCH] x", answers=True).reply
    assert not mailheaders.tags("YNT: [PATCH] x").reply


def test_ids_lists_and_raw_bytes() -> None:
    found = mailheaders.read(
        b"From x Mon Sep 17 00:00:00 2001\nFrom: =?utf-8?q?Zo=C3=AB?= <Z@Example.org>\n"
        b"Subject: [PATCH] Gr\xc3\xb6\xc3\x9fe\n and more\nMessage-ID:\n <a@b>\n"
        b"In-Reply-To: <c@d>\n"
        b"References: <e@f>\n <c@d>\nTo: kvm@vger.kernel.org, me@example.org\n"
        b"Cc: L\xe9 <linux-mm@kvack.org>, x@lists.linux.dev\n\nSubject: no header\n"
    )
    assert found.subject == "[PATCH] Gr\u00f6\u00dfe and more"
    assert (found.address, found.message_id, found.in_reply_to) == ("z@example.org", "a@b", "c@d")
    assert found.references == ("e@f", "c@d")
    assert found.lists() == ("kvm@vger.kernel.org", "linux-mm@kvack.org", "x@lists.linux.dev")
    assert "L\u00e9 <linux-mm@kvack.org>" in found.cc
    mailing = found.mailing()
    assert mailing is not None
    assert mailing.message_id == "<a@b>"
    assert mailheaders.read(b"Subject: x\nMessage-Id: none\n").mailing() is None


@pytest.mark.parametrize(
    "subject",
    [
        b"=?utf-7?q?+2AA-x?=",
        b"=?utf-8?b?abc?= =?utf-8?b?!!!?=",
        b"=?rot13?q?x?=",
        b"=?x?q?=FF?=",
        b"\xff",
    ],
)
def test_no_half_of_a_surrogate_pair_gets_in(subject: bytes) -> None:
    mailheaders.read(b"Subject: [PATCH] " + subject + b"\n").subject.encode()


def test_headers_are_bounded() -> None:
    words = b"Subject: " + b"=?utf-8?q?x?= " * 100_000 + b"\nTo: " + b"a@b, " * 100_000 + b"\n\n"
    found = mailheaders.read(words)
    assert len(found.subject) <= mailheaders.MAX_HEADER
    assert len(found.to) <= mailheaders.MAX_ADDRESSES


def test_comments_in_comments_without_end_hide_no_other_header() -> None:
    nested = b"(" * 2000
    found = mailheaders.read(b"From: " + nested + b"\nTo: " + nested + b"\nCc: k@lists.x\n")
    assert found.address == ""
    assert found.lists() == ("k@lists.x",)
    composed = mailheaders.compose(found, found.sender, "", "s", "Why.")
    assert mailheaders.read(composed).subject == "[PATCH] s"


@given(st.binary(max_size=300))
def test_any_bytes_have_headers(data: bytes) -> None:
    found = mailheaders.read(data)
    for text in (found.subject, found.sender, found.to, found.message_id):
        assert "\n" not in text
        text.encode()


@given(st.text(max_size=60), st.text(st.characters(codec="utf-8"), max_size=30))
def test_what_is_composed_has_the_headers_that_it_was_given(title: str, name: str) -> None:
    title, name = " ".join(title.split()), " ".join(name.split())
    title = title.encode(errors="replace").decode()
    given_headers = mailheaders.read(b"Subject: [PATCH v2 1/3] x\nMessage-Id: <a@b>\n")
    author = f"{name} <a@example.org>"
    found = mailheaders.read(mailheaders.compose(given_headers, author, "", title, "Why."))
    assert found.tags == Tags(1, 3, 2)
    assert found.message_id == "a@b"
    assert found.address == "a@example.org"
