"""``report.txt``: a reply for the mailing list, as ``git send-email`` takes it.

Prose is wrapped at 72 columns. What is quoted of a patch, a compiler or a console is left whole up
to :data:`MAX_LINE`, as reviewers expect it.
"""

from __future__ import annotations

import email.header
import email.utils
import functools
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.text import counted, visible
from toolkit.formats import mailheaders
from toolkit.report import templates, wording
from toolkit.report.view import ReportView
from toolkit.report.wording import duration

if TYPE_CHECKING:
    from jinja2 import Template

COLUMNS = 72
MAX_LINE = 200
MAX_FAILURES = 20
MAX_REASONS = 10  # why tests were skipped
MAX_LINES = 25  # of one message or report

_REGISTERS = re.compile(r"(R(?!IP)[A-Z0-9]{2}|[A-Z]S|[CD]R[0-9]|Code): ?")

_OPENINGS = {
    Verdict.PASS: "All tests of this {what} came out as expected.",
    Verdict.FAIL: "Tests of this {what} failed.",
    Verdict.NO_TESTS: "This {what} boots, but no test ran to its end.",
    Verdict.BUILD_BREAK: "This {what} does not build.",
    Verdict.BOOT_FAILURE: "The kernel with this {what} does not come up.",
    Verdict.USER_ERROR: "This {what} could not be tested.",
    Verdict.INFRASTRUCTURE: "This {what} was not judged: the machine that tests it failed.",
    Verdict.INTERRUPTED: "The test of this {what} was interrupted.",
}


def render(view: ReportView) -> bytes:
    """Return the mail: headers, an empty line, and the text."""
    result = view.result
    what = ("series" if len(result.patches) != 1 else "patch") if result.series else "kernel"
    text = _template().render(
        view=view,
        result=result,
        author=_author(result),
        command=_command(view),
        opening=_OPENINGS[result.verdict].format(what=what),
        detail=evidence(line for line in result.detail if not line.startswith("make")),
    )
    return "\n".join([*_headers(view), "", text, ""]).encode(errors="replace")


@functools.cache
def _template() -> Template:
    functions = (prose, wrapped, quoted, evidence, duration, visible)
    helpers = {function.__name__: function for function in functions}
    limits = {"MAX_FAILURES": MAX_FAILURES, "MAX_REASONS": MAX_REASONS}
    return templates.load("report.txt.j2", templates.printed, {**helpers, **limits})


def _command(view: ReportView) -> str:
    """Return what repeats the first failure, or the run, without paths of this host."""
    result = replace(view.result, command=wording.portable(view.result.command))
    return wording.repeat(result, view.failures[0].id) if view.failures else wording.command(result)


def _author(result: RunResult) -> str:
    sender = result.mailing.sender if result.mailing else ""
    return mailheaders.person(sender)[0] or sender


# --- headers -----------------------------------------------------------------------------


def _headers(view: ReportView) -> Iterator[str]:
    mail = view.result.mailing
    if mail is None:
        subject = f"{view.result.verdict.value}: {view.subject}"
        yield f"Subject: {_header('Subject', subject)}"
    else:
        answered = mail.subject.lower().startswith("re:")
        subject = mail.subject if answered else f"Re: {mail.subject}"
        yield f"Subject: {_header('Subject', subject)}"
        yield from _addresses("To", [mail.sender])
        yield from _addresses("Cc", [mail.to, mail.cc])
        yield f"In-Reply-To: {visible(mail.message_id)}"
        yield f"References: {visible(mail.message_id)}"
    yield "MIME-Version: 1.0"
    yield "Content-Type: text/plain; charset=UTF-8"
    yield "Content-Transfer-Encoding: 8bit"


def _header(name: str, text: str) -> str:
    text = visible(" ".join(text.split()))
    if text.isascii():
        return text
    return email.header.Header(text, "utf-8", header_name=name, maxlinelen=75).encode()


def _addresses(name: str, headers: Iterable[str]) -> Iterator[str]:
    """Yield a header with the addresses in ``headers``, names encoded; none without any."""
    formatted = []
    for person, address in mailheaders.addresses(headers):
        if "@" in address and address.isascii() and visible(address) == address:
            formatted.append(email.utils.formataddr((visible(person), address)))
    if formatted:
        yield f"{name}: " + ",\n ".join(dict.fromkeys(formatted))


# --- text --------------------------------------------------------------------------------


def prose(text: str) -> str:
    """Return text wrapped at :data:`COLUMNS`."""
    return "\n".join(filter(None, map(wrapped, visible(text, keep="\n").split("\n"))))


def wrapped(text: str, title: str = "") -> str:
    """Return one paragraph, indented below its title where it has one."""
    return textwrap.fill(
        visible(text),
        COLUMNS,
        initial_indent=f"{title:<10}" if title else "",
        subsequent_indent=" " * 10 if title else "",
        break_long_words=True,
        break_on_hyphens=False,
    )


def quoted(lines: Iterable[str]) -> str:
    """Return lines as a mail quotes them."""
    return "\n".join(f"> {visible(line, keep=chr(9))[:MAX_LINE]}".rstrip() for line in lines)


def evidence(text: str | Iterable[str]) -> str:
    """Return a log without registers, bounded.

    It is indented, so that no line of it looks like one of the mail's own. Blank lines inside it
    stay: in a hunk they are context.
    """
    lines = text.split("\n") if isinstance(text, str) else text
    telling = [line for line in lines if not _REGISTERS.match(line)]
    shown = [visible(line, keep="\t")[:MAX_LINE] for line in telling[:MAX_LINES]]
    if (left := len(telling) - MAX_LINES) > 0:
        shown.append(f"… {counted(left, 'more line')}")
    return "\n".join(f"  {line}".rstrip() for line in shown).strip("\n")
