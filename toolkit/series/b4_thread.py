"""Asks b4 for a series out of a thread. A program of its own: run by :mod:`toolkit.series.thread`.

b4 keeps its settings and its caches in its module, logs, and may exit; so it runs apart, within
bounds, in an environment without anybody's settings. Reads JSON from standard input: ``revision``,
and ``mails``, a list of ``file``, ``subject``, ``id``. Writes JSON: for the patches of that
revision ``ids`` (the cover letter's first; null: there is none), ``trailers`` as lists of the
index in it, the text, and the reply's id, and ``mismatches``, which b4 does not trust.
"""

from __future__ import annotations

import email.message
import email.parser
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import b4


def main() -> None:
    """Answer one question."""
    socket.socket = None  # type: ignore[assignment, misc] # nothing here needs the network
    b4.can_network = False
    logging.getLogger("b4").setLevel(logging.CRITICAL + 1)
    asked = json.load(sys.stdin)
    mailbox = b4.LoreMailbox()
    for each in asked["mails"]:
        try:
            mailbox.add_message(_message(each))
        except Exception:  # noqa: BLE001, S112 - one odd mail must not cost the others
            continue
    series = mailbox.get_series(revision=asked["revision"], codereview_trailers=False)
    answer: dict[str, Any] = {"ids": [], "trailers": [], "mismatches": []}
    if series is not None:
        answer["ids"] = [patch and patch.msgid for patch in series.patches]
        answer["trailers"] = [
            [at, trailer.as_string(omit_extinfo=True), trailer.lmsg.msgid if trailer.lmsg else ""]
            for at, patch in enumerate(series.patches)
            for trailer in (patch.followup_trailers if patch else ())
        ]
        answer["mismatches"] = sorted(
            f"{name}: {value} (from {sender})"
            for name, value, _, sender in series.trailer_mismatches
        )
    json.dump(answer, sys.stdout)


def _message(each: dict[str, str]) -> email.message.EmailMessage:
    parser = email.parser.BytesParser(email.message.EmailMessage, policy=b4.emlpolicy)
    message = parser.parsebytes(Path(each["file"]).read_bytes())
    for name, text in (("Subject", each["subject"]), ("Message-Id", f"<{each['id']}>")):
        del message[name]
        message[name] = text
    return message


if __name__ == "__main__":
    main()
