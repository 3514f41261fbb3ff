"""Text that strangers wrote, made harmless."""

from __future__ import annotations

import unicodedata

# Control characters, format characters (direction overrides, zero widths), lone surrogates, and
# the separators that some programs take for a line's end. Unassigned ones include U+FFFE and
# U+FFFF, which XML forbids.
_UNSAFE = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"})


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` with every character that is not seen as itself written as an escape.

    What a guest, a patch or a test printed goes through here before it reaches a terminal, an
    id or a report. ``keep`` names characters to leave as they are, such as a newline.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in keep or unicodedata.category(each) not in _UNSAFE else _escaped(each)
        for each in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
