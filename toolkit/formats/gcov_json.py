"""Reads ``gcov --json-format``: which lines of an object have code, and how often each ran.

Pure; gcov's own manual describes the form (Invoking Gcov, -j). gcov 9 and later write it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class FileCounts:
    """One source file: its lines that have code with their counts, and where functions lie."""

    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[str, tuple[int, int]] = field(default_factory=dict)  # first and last line

    def add(self, other: FileCounts) -> None:
        """Add the counts that another object, or another run, has of the same file."""
        for number, count in other.lines.items():
            self.lines[number] = self.lines.get(number, 0) + count
        self.functions.update(other.functions)


def read(text: bytes, source: str) -> dict[str, FileCounts]:
    """Return the counts by file, as paths below the folder ``source``; others are left out.

    ``text`` has a JSON document on each line, one for each object. Raises :class:`ValueError`
    for anything else.
    """
    counts_by_file: dict[str, FileCounts] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            folder = str(document["current_working_directory"])
            for file in document["files"]:
                name = os.path.normpath(os.path.join(folder, file["file"]))  # noqa: PTH118 - text
                if name.startswith(f"{source}/"):
                    counts = counts_by_file.setdefault(name[len(source) + 1 :], FileCounts())
                    counts.add(FileCounts(_lines(file["lines"]), _functions(file["functions"])))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is not what gcov writes: {error!r}") from error
    return counts_by_file


def _lines(rows: Iterable[dict[str, object]]) -> dict[int, int]:
    """Return the counts by line; the copies of a line in several functions add up."""
    counts: dict[int, int] = {}
    for row in rows:
        number, count = row["line_number"], row["count"]
        if not isinstance(number, int) or not isinstance(count, int):
            raise TypeError(f"line {number!r} ran {count!r} times")
        counts[number] = counts.get(number, 0) + count
    return counts


def _functions(rows: Iterable[dict[str, object]]) -> dict[str, tuple[int, int]]:
    functions = {}
    for row in rows:
        first, last = row["start_line"], row["end_line"]
        if not isinstance(first, int) or not isinstance(last, int):
            raise TypeError(f"a function from {first!r} to {last!r}")
        functions[str(row["name"])] = (first, last)
    return functions
