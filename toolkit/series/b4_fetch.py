"""Lets b4 fetch a thread. A program of its own: run by :mod:`toolkit.series.lore`.

Of all that reads patches this alone uses the network. Which archive that is, and its mirrors, is as
b4 is configured (b4.midmask; b4's own documentation). The one argument is a message-id or a URL.
Writes a line of JSON to standard output, and below it the thread as an mbox (mboxrd), each mail as
the archive has it. The line has ``host``, ``id``, and on failure ``reason`` and ``status``, HTTP's
(null: nobody answered).
"""

from __future__ import annotations

import argparse
import email.message
import email.parser
import json
import logging
import re
import sys
import urllib.parse
import zlib

import b4
import liblore
import liblore.utils
import requests

_FROM = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"


def main() -> None:
    """Fetch one thread."""
    logging.disable(logging.CRITICAL)
    b4.setup_config(argparse.Namespace(config=None))
    identity = b4.parse_msgid(sys.argv[1])
    node = b4.get_lore_node()
    answer: dict[str, str | int | None] = {
        "host": urllib.parse.urlsplit(node.url).netloc,
        "id": identity,
    }
    mails: list[bytes] = []
    try:
        mails = _thread(node.get_mbox_by_msgid(identity), identity)
    except liblore.RemoteError as error:
        answer |= {"status": error.status_code, "reason": _reason(error)}
    except requests.RequestException as error:
        answer |= {"status": None, "reason": str(error)}
    except (OSError, EOFError, zlib.error) as error:
        answer |= {"status": 200, "reason": f"what it sent is no mailbox: {error}"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    for mail in mails:
        # A line within a message that would begin the next one is quoted, as in an mboxrd.
        sys.stdout.buffer.write(_FROM + re.sub(rb"(?m)^(?=>*From )", b">", mail) + b"\n")


def _reason(error: BaseException) -> str:
    """Return the reason below all the wrapping of urllib3 and requests."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error)


def _thread(data: bytes, identity: str) -> list[bytes]:
    """Return the mails of the thread that a message is in, each once."""
    mails = liblore.utils.split_and_dedupe_as_bytes(data)
    heads = [_headers(mail) for mail in mails]
    strict = liblore.utils.get_strict_thread(heads, identity) or heads
    kept = {id(head) for head in strict}
    return [mail for mail, head in zip(mails, heads, strict=True) if id(head) in kept]


def _headers(mail: bytes) -> email.message.EmailMessage:
    head = re.split(rb"\r?\n\r?\n", mail, maxsplit=1)[0]
    parser = email.parser.BytesHeaderParser(email.message.EmailMessage, policy=b4.emlpolicy)
    return parser.parsebytes(head + b"\n\n")


if __name__ == "__main__":
    main()
