"""Mails as mail programs make them. What they should give is what git am takes them for."""

from __future__ import annotations

import base64
import quopri

import pytest

from tests.unit.fake_tree import create, edit, mail, soon
from toolkit.core.errors import UserError
from toolkit.series import gitmail, scratch
from toolkit.series.gitmail import Mail, MailFile

HEAD = b"From: Zo\xc3\xab <z@example.org>\nDate: Tue, 2 Jan 2024 10:00:00 +0100\n"


def read(*data: bytes, raw: bool = False) -> list[Mail]:
    return gitmail.read([MailFile(f"{n}.patch", each, raw=raw) for n, each in enumerate(data)],
                        soon())  # fmt: skip


def one(data: bytes) -> Mail:
    (found,) = read(data)
    return found


def test_a_plain_mail_is_kept_byte_for_byte() -> None:
    content = mail(create("latin1.txt").encode() + b"\xe9\xff\n")
    assert one(content).content == content


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("charset", ["UTF-8", "KOI8-R"])
def test_transfer_encodings_and_charsets(encoding: str, charset: str) -> None:
    words = "\u041f\u0440\u0438\u0432\u0435\u0442"
    text = f"{words}\n---\n{create('a.txt', 'long ' * 40)}".encode(charset)
    code = base64.encodebytes if encoding == "base64" else quopri.encodestring
    subject = base64.b64encode(f"[PATCH] {words}".encode(charset)).decode()
    head = (
        f"Subject: =?{charset}?b?{subject}?=\nMIME-Version: 1.0\n"
        f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    )
    found = one(HEAD + head.encode() + code(text))
    assert (found.subject, found.message) == (words, words)
    assert found.author == "Zo\u00eb <z@example.org>"
    assert create("a.txt", "long " * 40).encode() in found.content
    again = one(found.content)
    assert (again.subject, again.author, again.message) == (words, found.author, words)


@pytest.mark.parametrize("charset", ["y", "true", "none", "unknown-8bit"])
def test_a_charset_that_is_none(charset: str) -> None:
    diff = create("a.txt", "gr\u00f6\u00dfer\n")
    head = f"Subject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n"
    head += "Content-Transfer-Encoding: 8bit\n\n"
    found = one(HEAD + f"{head}Why it is gr\u00f6\u00dfer.\n---\n{diff}".encode())
    assert (found.subject, found.author) == ("x", "Zo\u00eb <z@example.org>")
    assert found.message == "Why it is gr\u00f6\u00dfer."
    assert found.patch("p").diff.endswith(diff.encode())
    assert one(found.content).problem == ""


@pytest.mark.parametrize("kind", ["text/x-patch", "application/octet-stream", "text/plain"])
def test_a_patch_that_is_attached(kind: str) -> None:
    diff = base64.encodebytes(edit("a.c").encode())
    head = b'Subject: [PATCH] x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n'
    first = b"--B\nContent-Type: text/plain\n\nWhy.\n\n"
    second = (
        b"--B\nContent-Type: %s; name=a.patch\nContent-Transfer-Encoding: base64\n\n%s\n--B--\n"
    )
    found = one(HEAD + head + first + second % (kind.encode(), diff))
    assert (found.message, found.is_patch) == ("Why.", True)
    assert found.content[found.diff_at :].strip().endswith(b" line 13")


@pytest.mark.parametrize("delsp", ["", "; delsp=yes"])
def test_text_that_flows(delsp: str) -> None:
    """RFC 3676: a line that begins with a space gets another one."""
    flowed = edit("a.c").replace("\n line", "\n  line").encode()
    head = f"Subject: [PATCH] x\nContent-Type: text/plain; format=flowed{delsp}\n\nWhy.\n---\n"
    found = one(HEAD + head.encode() + flowed)
    assert edit("a.c").encode() in found.content


def test_line_ends_of_the_transport() -> None:
    content = mail(edit("a"))
    assert one(content.replace(b"\n", b"\r\n")).content == content
    first, rest = content.split(b"\n", 1)
    assert one(first + b"\n" + rest.replace(b"\n", b"\r\n")).content == content
    assert one(content.replace(b"+changed", b"+changed\r")).content == content
    assert one(b"\n\n" + content).content == content


def test_what_stands_in_the_message() -> None:
    words = b"Why.\n\n@@ -1,2 +1,2 @@\n+++ b/x\nIndex of it\n"
    found = one(mail(edit("a")).replace(b"Why.\n", words))
    assert found.message.encode() == words.strip()
    assert found.content[found.diff_at :].count(b"@@") == 2


def test_who_wrote_it_may_stand_in_the_body() -> None:
    words = b"From: Bob <b@example.org>\nSubject: right\n\nWhy.\n"
    found = one(mail(edit("a"), "[PATCH 1/2] wrong").replace(b"Why.\n", words))
    assert (found.subject, found.author, found.message) == ("right", "Bob <b@example.org>", "Why.")
    assert (found.headers.tags.number, found.headers.address) == (1, "a@example.org")


@pytest.mark.parametrize(
    "header", ["=?utf-8?q?Gr=C3=B6=C3=9Fe?=", "=?iso-8859-1?q?Gr=F6=DFe?=", "Gr\u00f6\u00dfe"]
)
def test_a_subject_in_any_charset(header: str) -> None:
    found = one(mail(edit("a"), "SUBJECT").replace(b"SUBJECT", f"[PATCH] {header}".encode()))
    assert found.subject == "Gr\u00f6\u00dfe"
    assert found.headers.subject == "[PATCH] Gr\u00f6\u00dfe"


def test_no_subject() -> None:
    found = one(mail(edit("a")).replace(b"Subject: [PATCH] kvm: change a thing\n", b""))
    assert (found.subject, found.message) == ("Why.", "")


def test_several_files_and_several_mails_in_one() -> None:
    box = mail(edit("a"), "[PATCH] a") + mail(edit("b"), "[PATCH] b")
    talk = b"It says:\n\nFrom time to time it breaks at 10:30 in the year 2024.\n"
    found = read(
        box, b"", mail(edit("c"), "[PATCH] c").replace(b"Why.\n", talk), edit("d").encode()
    )
    assert [each.subject for each in found] == ["a", "b", "", "c", ""]
    assert [each.name for each in found] == [
        "0.patch, mail 1", "0.patch, mail 2", "1.patch", "2.patch", "3.patch"
    ]  # fmt: skip
    assert found[2].problem == "it is empty"
    assert found[4].is_patch


def test_quoted_from_lines_of_an_archive() -> None:
    body = b"Why.\n\n>From here on.\n>>From there.\n"
    archive = mail(edit("a")).replace(b"Why.\n", body)
    archive = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + archive.split(b"\n", 1)[1]
    first, second = read(archive + archive)
    assert first.message == second.message == "Why.\n\nFrom here on.\n>From there."
    assert one(archive).message == first.message
    assert one(mail(edit("a")).replace(b"Why.\n", body)).message.endswith(">>From there.")


def test_a_mail_that_git_cannot_read_costs_no_other() -> None:
    bad = mail(edit("a")).replace(b"[PATCH]", b"=?rot13?q?=FF?=")
    first, second = read(bad, mail(edit("b"), "[PATCH] b"))
    assert "cannot convert from rot13" in first.problem
    assert (second.subject, second.problem) == ("b", "")


def test_too_many_mails_are_counted_before_git_is_asked() -> None:
    with pytest.raises(UserError, match="may hold 3001 mails"):
        read(b"From x\n" + b"\nFrom x\n" * 3000)


def test_what_takes_too_long_or_too_much(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    with pytest.raises(UserError, match="takes more than"):
        scratch.run(["sh", "-c", "kill -XCPU $$"], folder, soon(), what="x")
    with pytest.raises(UserError, match="takes more than 5 s or 300 MiB"):
        scratch.run(
            ["sh", "-c", "(kill -XCPU $(exec sh -c 'echo $PPID'))"], folder, soon(), what="x"
        )
    done = scratch.run(["sh", "-c", "ulimit -v; ulimit -t; env"], folder, soon(), what="x")
    memory, seconds, *environment = done.text.split()
    assert (int(memory), int(seconds)) == (300 << 10, 5)
    assert f"HOME={folder.parent}" in environment
    assert "GIT_TERMINAL_PROMPT=0" in environment
