import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_tree import edit, mail
from toolkit.formats import patch_exports

HG = (
    "# HG changeset patch\n# User A Hacker <a@example.org>\n# Date 1243418400 -7200\n"
    "#      Wed May 27 12:00:00 2009 +0200\n# Node ID 0123\n# Parent  4567\nkvm: fix it\n\nWhy.\n\n"
)
STGIT = (
    "kvm: fix it\n\nFrom: A Hacker <a@example.org>\nDate: Wed, 27 May 2009 12:00:00 +0200\n\n"
    "Why.\n---\n"
)


@pytest.mark.parametrize("head", [HG, STGIT, "\n" + STGIT.replace("From:", "Author:")])
def test_what_other_programs_export(head: str) -> None:
    message = email.message_from_bytes(patch_exports.to_mail((head + edit("a.c")).encode()))
    assert message["From"] == "A Hacker <a@example.org>"
    assert message["Date"] == "Wed, 27 May 2009 12:00:00 +0200"
    body = str(message.get_payload())
    assert body.endswith(edit("a.c"))
    subject = message["Subject"] or body.partition("\n")[0]
    assert subject == "kvm: fix it"
    assert "Why." in body


@pytest.mark.parametrize(
    "data",
    [
        mail(edit("a")),
        edit("a.c").encode(),
        b"From: a@b\n\nFrom: c@d\n",
        b"",
        b"--- a/x\n\nFrom: x\n",
    ],
)
def test_everything_else_stays(data: bytes) -> None:
    assert patch_exports.to_mail(data) == data


@pytest.mark.parametrize("date", ["999999999999 0", "1 999999", "x", "1 -86400", ""])
def test_a_date_that_is_none(date: str) -> None:
    made = patch_exports.to_mail(f"# HG changeset patch\n# Date {date}\nx\n".encode())
    assert made.endswith(b"\nx\n")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    patch_exports.to_mail(data)
    patch_exports.to_mail(b"# HG changeset patch\n" + data)
    patch_exports.to_mail(b"x\n\nFrom: " + data)
