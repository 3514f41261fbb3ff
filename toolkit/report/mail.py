"""``report.txt``: a reply for the mailing list, as ``git send-email`` takes it.

Prose is wrapped at 72 columns. What is quoted of a patch, a compiler or a console is left whole up
to :data:`MAX_LINE`, as reviewers expect it.
"""

from __future__ import annotations

import email.header
import email.utils
import re
import textwrap
from collections.abc import Iterable, Iterator

from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.series import Blame
from toolkit.core.model.testing import Leaf
from toolkit.core.text import visible
from toolkit.report import wording
from toolkit.report.wording import duration
from toolkit.testing import verdicts

COLUMNS = 72
MAX_LINE = 200
MAX_FAILURES = 20
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


def render(result: RunResult) -> bytes:
    """Return the mail: headers, an empty line, and the text."""
    lines = [*_headers(result), "", *_body(result)]
    return ("\n".join(lines) + "\n").encode(errors="replace")


# --- headers -----------------------------------------------------------------------------


def _headers(result: RunResult) -> Iterator[str]:
    mail = result.mailing
    if mail is None:
        subject = f"{result.verdict.value}: {wording.subject(result)}"
        yield f"Subject: {_header('Subject', subject)}"
    else:
        told = mail.subject if mail.subject.lower().startswith("re:") else f"Re: {mail.subject}"
        yield f"Subject: {_header('Subject', told)}"
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
    found = []
    for person, address in email.utils.getaddresses(list(headers)):
        if "@" in address and address.isascii() and visible(address) == address:
            found.append(email.utils.formataddr((visible(person), address)))
    if found:
        yield f"{name}: " + ",\n ".join(dict.fromkeys(found))


# --- text --------------------------------------------------------------------------------


def _body(result: RunResult) -> Iterator[str]:
    if result.mailing and result.mailing.sender:
        who = email.utils.parseaddr(result.mailing.sender)[0] or result.mailing.sender
        when = f"On {result.mailing.date}, " if result.mailing.date else ""
        yield from _prose(f"{when}{who} wrote:")
        yield from _quoted([result.mailing.subject])
        yield ""
    what = "series" if len(result.patches) != 1 else "patch"
    yield from _prose(_OPENINGS[result.verdict].format(what=what if result.series else "kernel"))
    tally = wording.tally(verdicts.counts(result.leaves))
    if tally:
        yield from _prose(f"{tally}.".capitalize() if tally[0].isalpha() else f"{tally}.")
    if result.message and not result.blames:
        yield ""
        yield from _prose(result.message)
    yield ""
    yield from _pairs(result)
    for blame in result.blames:
        yield from _blame(blame)
    if result.detail:
        yield ""
        yield from _log(line for line in result.detail if not line.startswith("make"))
    yield from _failures(result)
    yield from _splats(result)
    yield from _repeat(result)
    yield ""
    yield "-- "
    yield f"kernel-toolkit {visible(result.toolkit)}"


def _pairs(result: RunResult) -> Iterator[str]:
    made = result.environment
    tested = f"QEMU {result.qemu}, {result.accelerator}" if result.qemu else ""
    for name, value in (
        ("base", ", Linux ".join(dict.fromkeys(filter(None, (result.kernel, result.release))))),
        ("compiler", made.compiler),
        ("config", made.config),
        ("machine", ", ".join(filter(None, (tested, made.machine)))),
        ("time", duration(result.seconds)),
    ):
        if value:
            yield from _wrapped(value, f"{name + ':':<10}", " " * 10)


def _blame(blame: Blame) -> Iterator[str]:
    yield ""
    yield from _prose(f"In patch {blame.patch}, {blame.subject}:")
    yield ""
    yield from _quoted([f"--- {blame.file}", *blame.hunk[: blame.at + 1]])
    yield ""
    yield from _log([blame.said])
    if rest := blame.hunk[blame.at + 1 :]:
        yield ""
        yield from _quoted(rest)


def _failures(result: RunResult) -> Iterator[str]:
    for program in wording.failed_programs(result, MAX_FAILURES):
        splats = wording.splats_during(result, program)
        yield ""
        for leaf in program.leaves:
            yield f"{leaf.status.value.upper()} {visible(leaf.id)}"
            if said := wording.said_besides(leaf, splats):
                yield from _log(said.split("\n"))
        for splat in splats:
            yield from _log((splat.decoded or splat.text).split("\n"))
    if (left := len(wording.failures(result)) - MAX_FAILURES) > 0:
        yield ""
        yield f"… and {left} more."


def _splats(result: RunResult) -> Iterator[str]:
    for splat in wording.stray_splats(result):
        yield ""
        yield f"The kernel said{f', during {visible(splat.during)}' if splat.during else ''}:"
        yield from _log((splat.decoded or splat.text).split("\n"))


def _repeat(result: RunResult) -> Iterator[str]:
    bad: list[Leaf] = wording.failures(result)
    if bad:
        yield ""
        yield from _prose("To repeat the first failure:" if len(bad) > 1 else "To repeat it:")
        yield f"  {wording.repeat(result, bad[0].id)}"
    elif result.command:
        yield ""
        yield "To repeat it:"
        yield f"  {wording.command(result)}"


def _prose(text: str) -> Iterator[str]:
    for line in visible(text, keep="\n").split("\n"):
        yield from _wrapped(line, "", "")


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        visible(text),
        COLUMNS,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=True,
        break_on_hyphens=False,
    )


def _quoted(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"> {visible(line, keep=chr(9))[:MAX_LINE]}".rstrip()


def _log(lines: Iterable[str]) -> Iterator[str]:
    """Yield evidence, indented, so that no line of it looks like one of the mail's own."""
    shown = [line for line in lines if line.strip() and not _REGISTERS.match(line)]
    for line in shown[:MAX_LINES]:
        yield f"  {visible(line, keep=chr(9))[:MAX_LINE]}"
    if len(shown) > MAX_LINES:
        yield f"  … {len(shown) - MAX_LINES} more lines"
