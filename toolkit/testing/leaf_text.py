"""The text of a leaf: ids that are bounded, visible and unique, and bounded messages.

Whatever a program printed may be in them.
"""

from __future__ import annotations

import hashlib

from toolkit.core.text import visible

MAX_NAME = 120  # characters of one component of an id
MAX_ID = 300
MAX_MESSAGE = 4000
STDERR_LINES = 20


def name_of(raw: str) -> str:
    """Return one component of an id."""
    name = visible(" ".join(raw.split()))
    return _bounded(name, MAX_NAME) or "unnamed"


def _bounded(name: str, limit: int) -> str:
    """Cut a name that is too long; a digest of the whole keeps it apart from its like."""
    if len(name) <= limit:
        return name
    short = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{name[: limit - 9]}~{short}"


def unique_id(name: str, taken: dict[str, int]) -> str:
    """Return ``name`` with a number that keeps it apart; ``taken`` has the last one of each."""
    name = _bounded(name, MAX_ID)
    unique, number = name, taken.get(name, 0)
    while unique in taken:
        number += 1
        unique = f"{name}#{number}"
    taken[name] = max(number, 1)
    taken.setdefault(unique, 1)
    return unique


def message_of(text: str) -> str:
    """Return ``text`` with nothing invisible in it, cut where it is too long."""
    text = visible(text, keep="\n\t")
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def join(*parts: str) -> str:
    """Return the parts below each other, without empty ones and repetitions."""
    shown: list[str] = []
    for part in parts:
        if part and not any(part in earlier for earlier in shown):
            shown.append(part)
    return "\n".join(shown)


def tail(text: str, count: int = STDERR_LINES) -> str:
    """Return the last lines of ``text`` that are not empty."""
    lines = [line for line in text[-MAX_MESSAGE:].split("\n") if line.strip()]
    return "\n".join(lines[-count:])
