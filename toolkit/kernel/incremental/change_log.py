"""Remembers, in order, which files of a work tree were changed.

So whoever built from the tree before can ask what has changed since, and whether it is the same
tree. The journal lies beside it; whoever holds the tree's lock may write to it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOST = 20_000  # changes; a longer journal starts anew, and who asks then has to look for himself


@dataclass(frozen=True, slots=True)
class Journal:
    """The changes of the work tree ``tree``: a line that names it, then one for each change."""

    tree: Path

    @property
    def file(self) -> Path:
        """Where it is written."""
        return self.tree.with_name(f".{self.tree.name}.changes")

    def begin(self, name: str | None = None) -> None:
        """Start anew, by default for a new tree: no older mark is good any more."""
        fresh = self.file.with_suffix(".tmp")
        fresh.write_text(f"{name or secrets.token_hex(8)} {secrets.token_hex(8)}\n")
        fresh.rename(self.file)

    def add(self, changes: Mapping[str, bool]) -> None:
        """Note paths that are about to change, and of each whether just its content will."""
        if not 0 < len(self._lines()) <= MOST:
            self.begin(self.name())
        with self.file.open("a") as file:
            file.writelines(json.dumps(each) + "\n" for each in changes.items())

    def name(self) -> str | None:
        """Return what no other tree is called, be it in the same place; None without a journal."""
        lines = self._lines()
        return lines[0].partition(" ")[0] if lines else None

    def mark(self) -> str | None:
        """Return what stands for the tree as it is now; None without a journal."""
        lines = self._lines()
        return json.dumps([lines[0], len(lines)]) if lines else None

    def since(self, mark: str) -> dict[str, bool] | None:
        """Return what was noted since ``mark`` was asked for; None when that is not known."""
        lines = self._lines()
        try:
            name, count = json.loads(mark)
            if not lines or lines[0] != name or count > len(lines):
                return None
            found: dict[str, bool] = {}
            for path, edited in map(json.loads, lines[count:]):
                found[path] = found.get(path, True) and edited
        except (ValueError, TypeError):  # cut off where a run was killed
            return None
        return found

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return []
