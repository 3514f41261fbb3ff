"""Text that strangers wrote, made harmless; and sizes and counts, as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from toolkit.core.errors import UserError

# Control characters, format characters (direction overrides, zero widths), lone surrogates, and
# the separators that some programs take for a line's end. Unassigned ones include U+FFFE and
# U+FFFF, which XML forbids.
_UNSAFE = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"})
_MAX_LINE = 1000


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` with every character that is not seen as itself written as an escape.

    What a guest, a patch or a test printed goes through here before it reaches a terminal, an
    id or a report. ``keep`` names characters to leave as they are, such as a newline.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in keep or unicodedata.category(char) not in _UNSAFE else _escaped(char)
        for char in text
    )


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of ``text`` with their newlines; no other character ends one.

    io.StringIO does the same with four bytes for each character, whatever they are.
    """
    at = 0
    while end := text.find("\n", at) + 1:
        yield text[at:end]
        at = end
    if at < len(text):
        yield text[at:]


def printable(text: str) -> str:
    """Return ``text`` as one line that a terminal shows and never obeys."""
    return visible(text.expandtabs(4))[:_MAX_LINE]


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_MAX_DIGITS = 15  # of a number that somebody means
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)


def size(number: float) -> str:
    """Return a number of bytes as a person reads it: 1536 is ``2 KiB``."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:.1f} {_UNITS[unit]}" if unit > 2 else f"{number:.0f} {_UNITS[unit]}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return how many there are of something: ``1 case``, ``2 cases``; ``plural``: not noun + s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def parse_size(words: str) -> int:
    """Return the bytes that ``500M``, ``1.5G`` or ``20GiB`` stand for.

    Raises :class:`UserError` for anything else.
    """
    match = _SIZE.fullmatch(words.strip())
    if match is None or len(match[1]) > _MAX_DIGITS:
        raise UserError(f"{words!r} is no size", hint="write it as 500M or 20G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


_AGE = re.compile(r"(\d+(?:\.\d+)?) ?([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_age(words: str) -> float:
    """Return the seconds that ``90m``, ``12h``, ``30d`` or ``2w`` stand for.

    Raises :class:`UserError` for anything else.
    """
    match = _AGE.fullmatch(words.strip())
    if match is None or len(match[1]) > _MAX_DIGITS:
        raise UserError(f"{words!r} is no time span", hint="write it as 12h or 30d")
    return float(match[1]) * _SECONDS[match[2].lower()]
