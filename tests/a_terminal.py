"""Streams that a display writes to, and what a person reads of them."""

from __future__ import annotations

import io
import re

# What a stranger may write to a terminal; none of it may be obeyed.
HOSTILE = "[red]\x1b[2J\x1b]0;owned\x07[/nothing]\u202e\r\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    """Return what a stream has, without the sequences that the display itself may write."""
    return re.sub(r"\x1b\[[0-9;?]*[mKAhl]|\r", "", stream.getvalue())
