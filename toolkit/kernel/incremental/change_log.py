"""Which files of a work tree were changed, in order.

Whoever built from the tree before can ask what has changed since, and whether it still is the same
tree. The log lies beside the tree, and is written under the tree's lock.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_CHANGES = 20_000  # a longer log starts anew, and older positions in it are no longer known


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """The changes of the work tree ``tree``: a line that identifies it, then one per change."""

    tree: Path

    @property
    def file(self) -> Path:
        """Where the log is written."""
        return self.tree.with_name(f".{self.tree.name}.changes")

    def begin(self, tree_id: str | None = None) -> None:
        """Start anew, by default for a new tree; positions from before are no longer known."""
        fresh = self.file.with_suffix(".tmp")
        fresh.write_text(f"{tree_id or secrets.token_hex(8)} {secrets.token_hex(8)}\n")
        fresh.rename(self.file)

    def add(self, changes: Mapping[str, bool]) -> None:
        """Note paths that are about to change, each with whether only its content will."""
        if not 0 < len(self._lines()) <= MAX_CHANGES:
            self.begin(self.tree_id())
        with self.file.open("a") as file:
            file.writelines(json.dumps(change) + "\n" for change in changes.items())

    def tree_id(self) -> str | None:
        """Return an id that no other tree has, even in the same place; None without a log."""
        lines = self._lines()
        return lines[0].partition(" ")[0] if lines else None

    def position(self) -> str | None:
        """Return the present end of the log, for :meth:`since`; None without a log."""
        lines = self._lines()
        return json.dumps([lines[0], len(lines)]) if lines else None

    def since(self, position: str) -> dict[str, bool] | None:
        """Return what was noted after ``position``; None when that is not known."""
        lines = self._lines()
        try:
            first, count = json.loads(position)
            if not lines or lines[0] != first or count > len(lines):
                return None
            changes: dict[str, bool] = {}
            for path, only_content in map(json.loads, lines[count:]):
                changes[path] = changes.get(path, True) and only_content
        except (ValueError, TypeError):  # a line was cut off where a run was killed
            return None
        return changes

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return []
