"""TAP 14's YAML blocks, while they are read: what an indented ``---`` and ``...`` enclose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.formats.ktap_document import Document

MAX_CHARS = 1 << 20  # of a block; a longer one is none


@dataclass(slots=True)
class Block:
    """The lines of what may become a block on the last result of ``document``."""

    document: Document
    lead: str  # what its first line begins with, and its last
    lines: list[str]
    size: int = 0  # in characters

    @classmethod
    def begun(cls, text: str, document: Document) -> Block | None:
        """Return the block that a line right below a result of ``document`` begins."""
        line = text.rstrip()
        lead = line.removesuffix("---")
        inner = lead.removeprefix(document.lead)
        if lead == line or not inner or inner.strip(" ") or not lead.startswith(document.lead):
            return None
        return cls(document, lead, [text])

    def takes(self, text: str) -> bool:
        """Return whether a line may be part of it, and count it."""
        self.size += len(text)
        return self.size <= MAX_CHARS and (text.startswith(self.lead) or not text.strip(" #"))

    def ends(self, text: str) -> bool:
        """Return whether a line is the one that ends it."""
        return text.rstrip() == f"{self.lead}..."

    def content(self) -> Iterator[str]:
        """Yield the lines in it without what each begins with."""
        return (line[len(self.lead) :] for line in self.lines[1:])
