"""Reads what git mailinfo leaves out of a mail: message ids, addresses, and a subject's tags.

Pure functions over bytes. Only headers are parsed, never a MIME tree, and each is bounded.
"""

from __future__ import annotations

import contextlib
import email.errors
import email.header
import email.parser
import email.policy
import email.utils
import re
from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.core.model.series import Mailing

MAX_HEADERS = 256 << 10  # bytes of a mail's headers that are looked at
MAX_HEADER = 2000  # characters of one header that are decoded: encoded words take quadratic time
MAX_ADDRESSES = 16 << 10  # characters of To and Cc that are kept
KEPT = ("From", "Date", "Subject", "Message-Id", "To", "Cc")

_COLON = "[:\uff1a]"  # the latter is the one of Chinese text
_REPLY = re.compile(
    rf"\s*(?:re|aw|sv|vs|antw|wg|tr|fwd?|答复|回复|回覆|转发)\s*(?:\[\d+\])?\s*{_COLON}",
    re.IGNORECASE,
)
_SHORT_WORD = re.compile(rf"\s*\w{{2,3}}\s*{_COLON}\s*(?=\[)")  # Re: in some other language
_COUNT = re.compile(r"(?:patch)?(\d{1,4})/(\d{1,4}):?", re.IGNORECASE)
_COUNT_OF = re.compile(r"\b(\d{1,4}) of (\d{1,4})\b", re.IGNORECASE)
_VERSION = re.compile(r"(?:(?:patch|rfc|resend)[-_]?)?v(\d{1,3})(?:\.(\d{1,2}))?", re.IGNORECASE)
# 6.1, 6.1.y, v6.1.y, linux-6.1.y, 6.1-stable; v6.1 alone may be a version as well.
_KERNEL = re.compile(
    r"(?:(?:linux|stable)-)*v?([2-9]|\d\d)\.(\d{1,3})(?:\.(?:[xy]|\d{1,3}))?(?:-(?:stable|y))?",
    re.IGNORECASE,
)
_KERNELS = re.compile(
    rf"({_KERNEL.pattern})-({_KERNEL.pattern})", re.IGNORECASE
)  # AUTOSEL 6.17-5.4
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,250})>")
_ADDRESS = re.compile(r"<([^<>]*)>$")
_LIST = re.compile(r"(?:.+\.)?(?:lists\..+|vger\..+|.+\.dev|kvack\.org|lists)", re.IGNORECASE)

Kernel = tuple[int, int]  # (6, 12) is every 6.12.x
Kernels = tuple[tuple[Kernel, Kernel], ...]  # the oldest and the newest of each span


@dataclass(frozen=True, slots=True)
class Tags:
    """What stands in brackets before a subject: [RFC PATCH v2 1/3]."""

    number: int | None = None  # 0: the cover letter
    total: int | None = None
    version: int = 1
    minor: int = 0  # v7.1: one patch of v7 anew, or a stable branch's name
    reply: bool = False
    resend: bool = False
    kernels: Kernels = ()  # the stable kernels that it is for; none: no kernel in particular


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a mail, each decoded into one line; an empty text where there is none."""

    subject: str
    sender: str
    date: str
    message_id: str  # without brackets
    in_reply_to: str
    references: tuple[str, ...]
    to: str
    cc: str
    tags: Tags

    @property
    def address(self) -> str:
        """The sender's mail address, in small letters."""
        match = _ADDRESS.search(self.sender)  # a decoded name may hold quotes that end nowhere
        return (match[1] if match else person(self.sender)[1]).lower()

    def mailing(self) -> Mailing | None:
        """Return what a reply needs; None for a file that was never sent."""
        if "@" not in self.message_id:
            return None
        identity = f"<{self.message_id}>"
        return Mailing(identity, self.subject, self.sender, self.to, self.cc, self.date)

    def lists(self) -> tuple[str, ...]:
        """Return the addresses of mailing lists that it was sent to."""
        pairs = addresses([self.to, self.cc])
        lists = [address for _, address in pairs if _LIST.fullmatch(address.partition("@")[2])]
        return tuple(dict.fromkeys(lists))


def addresses(headers: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names and addresses in headers; none for one that nests comments without end."""
    pairs: list[tuple[str, str]] = []
    for text in headers:
        with contextlib.suppress(RecursionError):  # a call for each comment within a comment
            pairs += email.utils.getaddresses([text])
    return pairs


def person(header: str) -> tuple[str, str]:
    """Return the name and the address of a header that has one; two empty texts for none."""
    return next(iter(addresses([header])), ("", ""))


def read(data: bytes) -> Headers:
    """Return the headers of a mail, which may begin with an mbox's ``From `` line."""
    head = data[:MAX_HEADERS].lstrip()
    if head.startswith((b"From ", b">From ")):
        head = head.partition(b"\n")[2]
    head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    message = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(head)

    raw: dict[str, str] = {}
    for name, value in message.raw_items():
        raw.setdefault(name.lower(), str(value))

    def text(name: str, limit: int = MAX_HEADER) -> str:
        return _decoded(raw.get(name.lower(), "")[:limit])

    subject = text("Subject")
    replied = _MESSAGE_ID.search(text("In-Reply-To"))
    return Headers(
        subject=subject,
        sender=text("From"),
        date=text("Date"),
        message_id=_identity(text("Message-Id")),
        in_reply_to=replied[1] if replied else "",
        references=tuple(_MESSAGE_ID.findall(text("References", MAX_ADDRESSES))),
        to=text("To", MAX_ADDRESSES),
        cc=text("Cc", MAX_ADDRESSES),
        tags=tags(subject, answers=replied is not None),
    )


def _identity(text: str) -> str:
    match = _MESSAGE_ID.search(text)
    return match[1] if match else ""


def _decoded(text: str) -> str:
    """Return a header as one line, its encoded words and its raw bytes decoded."""
    if not text.isascii():
        raw = text.encode("ascii", "surrogateescape")  # as the parser keeps raw bytes
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    if "=?" in text and len(text) <= MAX_HEADER:
        with contextlib.suppress(LookupError, ValueError, email.errors.HeaderParseError):
            text = str(email.header.make_header(email.header.decode_header(text)))
    # Some charsets decode to halves of surrogate pairs, which no file can hold.
    text = text.encode(errors="replace").decode()
    return " ".join(text.split())


# --- writing -----------------------------------------------------------------------------------

_FROM_LINE = f"From {'0' * 40} Mon Sep 17 00:00:00 2001"
# At the top of a message git mailinfo would take such a line for a header of the patch.
_HEADER_LIKE = re.compile(r"\s*(?:>?From\b|[A-Za-z][A-Za-z0-9-]*:|\[PATCH)")


def compose(headers: Headers, author: str, date: str, subject: str, message: str) -> bytes:
    """Return the head of a mail in git format-patch form; a diff as git mailinfo gives it follows.

    ``headers`` is what it was posted as. What git reads in the result is ``author``, ``date``,
    ``subject`` and ``message``.
    """
    tags = headers.tags
    count = tags.total is not None and f" {tags.number:0{len(str(tags.total))}}/{tags.total}"
    version = f" v{tags.version}" if tags.version > 1 else ""
    posted = {
        "From": author,
        "Date": date,
        "Subject": f"[PATCH{version}{count or ''}] {subject}",
        "Message-Id": headers.message_id and f"<{headers.message_id}>",
        "In-Reply-To": headers.in_reply_to and f"<{headers.in_reply_to}>",
        "To": headers.to,
        "Cc": headers.cc,
    }
    lines = [_FROM_LINE]
    lines += [f"{name}: {_encoded(name, text)}" for name, text in posted.items() if text]
    if not message.isascii():
        lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=UTF-8"]
        lines += ["Content-Transfer-Encoding: 8bit"]
    lines.append("")
    if author and _HEADER_LIKE.match(message):
        lines += [f"From: {author}", ""]
    lines += [message] if message else []
    return "\n".join(lines).encode(errors="replace") + b"\n"


def _encoded(name: str, text: str) -> str:
    """Return a header's text in ASCII, as RFC 2047 has it."""
    if name == "From":
        who, _, address = text.rpartition(" <")
        address = address.removesuffix(">")
        return email.utils.formataddr((who, address)) if who and address.isascii() else text
    if text.isascii() and text.isprintable():
        return text
    if name == "Subject":
        tags, _, title = text.partition("] ")
        return f"{tags}] {email.header.Header(title, 'utf-8').encode(maxlinelen=0)}"
    return ", ".join(
        email.utils.formataddr((who, address))
        for who, address in addresses([text])
        if address.isascii()
    )


# --- subjects ----------------------------------------------------------------------------------


def tags(subject: str, *, answers: bool = False) -> Tags:
    """Return what a subject's tags say; ``answers``: its mail is a reply to another one."""
    reply = False
    rest = subject[:MAX_HEADER]
    while match := _REPLY.match(rest):
        reply, rest = True, rest[match.end() :]
    if answers and (match := _SHORT_WORD.match(rest)):
        reply, rest = True, rest[match.end() :]
    numbers: tuple[int, int] | None = None
    version, minor, resend = 1, 0, False
    kernels: list[tuple[Kernel, Kernel]] = []
    while (rest := rest.lstrip()).startswith("["):
        inside, rest = _bracketed(rest)
        # patchwork puts commas between them: [net,v2,1/2].
        for each in re.split(r"[\s,;:\[\]]+", inside):
            if match := _COUNT.fullmatch(each):
                numbers = (int(match[1]), int(match[2]))
            elif match := _VERSION.fullmatch(each):
                version, minor = int(match[1]), int(match[2] or 0)
            else:
                kernels += _kernels(each)
            resend = resend or each.lower().startswith(("resend", "repost"))
        if numbers is None and (match := _COUNT_OF.search(inside)):
            numbers = (int(match[1]), int(match[2]))
    number, total = numbers if numbers and numbers[1] else (None, None)
    spans = tuple(dict.fromkeys(kernels))
    return Tags(number, total, max(version, 1), minor, reply, resend, spans)


def _kernels(word: str) -> Kernels:
    """Return the stable kernels that a word of a tag names: 6.1.y, 6.1/6.6, 6.17-5.10."""
    spans: list[tuple[Kernel, Kernel]] = []
    for each in re.split(r"[/&+|]", word):
        if match := _KERNEL.fullmatch(each):
            kernel = int(match[1]), int(match[2])
            spans.append((kernel, kernel))
        elif match := _KERNELS.fullmatch(each):
            ends = sorted(((int(match[2]), int(match[3])), (int(match[5]), int(match[6]))))
            spans.append((ends[0], ends[1]))
        else:
            return ()
    return tuple(spans)


def _bracketed(text: str) -> tuple[str, str]:
    """Return what the brackets at the start of a text hold, those in it included, and the rest."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if depth == 0:
            return text[1:at], text[at + 1 :]
    inside, _, rest = text[1:].partition("]")
    return inside, rest
