from __future__ import annotations

import dataclasses
import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Mailing
from toolkit.report import mail, view


def parsed(result: RunResult) -> EmailMessage:
    message = email.message_from_bytes(mail.render(view.of(result)), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_it_answers_the_series() -> None:
    reply = parsed(a_result.failed())
    assert reply["Subject"] == "Re: [KVM PATCH v4 0/3] iosignalfd"
    assert reply["In-Reply-To"] == reply["References"] == a_result.MAILING.message_id
    assert reply["To"] == "Grégory Example <greg@example.org>"
    cc = [address.addr_spec for address in reply["Cc"].addresses]
    assert cc == ["kvm@vger.example.org", "lkml@vger.example.org"]


def test_it_says_what_the_series_was_made_on() -> None:
    mailing = dataclasses.replace(a_result.MAILING, base_commit="c" * 40)
    text = parsed(a_result.passed(mailing=mailing)).get_content()
    assert f"made on:  {'c' * 40}" in text
    assert "made on" not in parsed(a_result.passed()).get_content()


def test_a_series_that_was_never_sent_has_nobody_to_answer() -> None:
    reply = parsed(a_result.passed(mailing=None))
    assert reply["Subject"] == "pass: iosignalfd/v4 on Linux 6.12.117"
    assert reply["To"] is reply["In-Reply-To"] is None


def test_a_build_break_quotes_the_hunk_and_answers_below_the_line() -> None:
    lines = parsed(a_result.broken()).get_content().split("\n")
    at = lines.index("> +\teventfd_signal_all(p->ctx);")
    assert lines[at + 2] == f"  {a_result.BLAME.said}"
    assert lines[at + 4] == "> +\treturn 0;"
    assert "This series does not build." in lines


def test_prose_keeps_to_72_columns() -> None:
    result = dataclasses.replace(
        a_result.broken(), blames=(), message="a word " * 40, series="topic/" + "x" * 90
    )
    for line in mail.render(view.of(result)).decode().partition("\n\n")[2].split("\n"):
        assert len(line) <= mail.COLUMNS or line.startswith((">", "  "))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_words(verdict: Verdict) -> None:
    text = parsed(a_result.passed(verdict=verdict)).get_content()
    assert "{" not in text.partition("base:")[0]


def test_a_stranger_adds_no_header() -> None:
    reply = parsed(a_result.hostile())
    assert reply["Bcc"] is None
    assert "\x1b" not in reply.as_string()
    assert len(reply.keys()) == len({key.lower() for key in reply})


@given(st.text(), st.text(), st.text())
def test_any_headers_make_a_mail(subject: str, sender: str, recipients: str) -> None:
    mailing = Mailing("<a@b>", subject, sender, recipients, recipients, subject)
    data = mail.render(view.of(a_result.passed(mailing=mailing, series=subject)))
    head = data.decode().partition("\n\n")[0]
    names = [line.split(":")[0] for line in head.split("\n") if not line.startswith(" ")]
    assert set(names) <= {
        *("Subject", "To", "Cc", "In-Reply-To", "References", "MIME-Version"),
        *("Content-Type", "Content-Transfer-Encoding"),
    }
    assert head.isascii()


def test_a_sender_whose_comments_never_end_is_left_out_of_the_answer() -> None:
    mailing = dataclasses.replace(a_result.MAILING, sender="(" * 2000)
    reply = parsed(a_result.passed(mailing=mailing))
    assert reply["To"] is None
    assert reply["Cc"] is not None


def test_what_nobody_reads_in_a_mail_is_left_out() -> None:
    text = "RIP: 0010:f (a.c:1)\nCode: 48 89\nRSP: 0018:ff\nR10: 0\nFS:  0\nCR2: 1\n f (b.c:2)"
    splat = dataclasses.replace(a_result.WARNING, decoded=text)
    result = dataclasses.replace(a_result.failed(), splats=(splat,), detail=("make[1]: *** x",))
    text = parsed(result).get_content()
    assert "  RIP: 0010:f (a.c:1)\n   f (b.c:2)\n" in text
    assert "make[1]" not in text


def test_a_blank_line_of_a_hunk_stays() -> None:
    hunk = ("the hunk:", "    @@ -1,3 +1,3 @@", "     int a;", "     ", "    -int b;", "")
    result = a_result.passed(verdict=Verdict.USER_ERROR, leaves=(), detail=hunk)
    text = parsed(result).get_content()
    assert "       int a;\n\n      -int b;\n\nTo repeat it:" in text


def test_what_repeats_it_names_no_folder_of_this_host() -> None:
    words = ("toolkit", "--root", "/srv/ci", "build-and-test", "--run-dir=/tmp/r7", "--slow")
    paths = ("-p", "/home/me/work/0001-kvm.patch", "-k", "tree:../../linux", "--append", "a=/b/c")
    for result, alone in (
        (a_result.failed(), " --suite kvm --test iosignalfd_args_test"),
        (a_result.passed(), ""),
    ):
        text = parsed(dataclasses.replace(result, command=words + paths)).get_content()
        assert (
            "  toolkit build-and-test --slow -p 0001-kvm.patch -k tree:linux "
            f"--append a=/b/c{alone}\n" in text
        )
        assert "/home" not in text


def test_a_series_without_tests_says_why_they_were_skipped() -> None:
    assert (
        "10 skipped: /dev/kvm cannot be opened\n" in parsed(a_result.without_tests()).get_content()
    )
