"""Mails of a list, for the tests that read threads."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from tests.unit.fake_tree import create

ALICE = "Alice Example <alice@example.org>"
BOB = "Bob Example <bob@example.org>"
_hours = itertools.count()


@dataclass
class Posted:
    """One mail; ``file`` is what it adds, "" for words alone."""

    subject: str
    file: str = ""
    to: Posted | None = None  # the one that it answers
    sender: str = ALICE
    body: str = "Why.\n"
    text: str = "new\n"
    extra: str = ""
    identity: str = field(default_factory=lambda: f"m{next(_hours)}@example.org")

    @property
    def above(self) -> list[str]:
        """The ids of the mails that it answers, the first of the thread first."""
        return [*self.to.above, self.to.identity] if self.to else []

    def mail(self) -> bytes:
        counted = re.match(r"m(\d+)@", self.identity)
        number = int(counted[1]) if counted else 0
        head = [
            "From mboxrd@z Thu Jan  1 00:00:00 1970",
            f"From: {self.sender}",
            f"Date: Tue, {1 + number // 1440 % 28} Jan 2024 {number // 60 % 24:02}:"
            f"{number % 60:02}:00 +0000",
            f"Message-ID: <{self.identity}>",
        ]
        if self.subject:
            head.insert(2, f"Subject: {self.subject}")
        if self.to:
            head.append(f"In-Reply-To: <{self.to.identity}>")
            head.append("References: " + " ".join(f"<{each}>" for each in self.above))
        diff = "---\n" + create(self.file, self.text) + "-- \n2.39.5\n" if self.file else ""
        return "\n".join([*head, self.extra]).encode() + f"\n{self.body}{diff}\n".encode()


def posting(total: int, tag: str = "PATCH", *, to: Posted | None = None) -> list[Posted]:
    """Return a series with its cover letter, as git send-email posts it."""
    cover = Posted(f"[{tag} 0/{total}] all of it", to=to)
    return [
        cover,
        *(
            Posted(f"[{tag} {number}/{total}] step {number}", f"f{number}.c", to=cover)
            for number in range(1, total + 1)
        ),
    ]


def reply(to: Posted, body: str, sender: str = BOB, subject: str = "") -> Posted:
    """Return an answer that quotes what it answers."""
    return Posted(subject or f"Re: {to.subject}", to=to, sender=sender, body=body)
