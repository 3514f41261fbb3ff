"""Histories to bisect: as a fake repository in memory, and as a real one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.fake_tree import git
from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Commit

Parents = Sequence[Sequence[int]]  # of each commit; they come before it


def name(number: int) -> str:
    return f"{number:040x}"


@dataclass
class History:
    """Commits 0, 1, 2 … by their parents; answers as a Repository does."""

    parents: Parents
    path: Path = field(default_factory=lambda: Path("/repository"))

    def ancestors(self, number: int) -> set[int]:
        """Return a commit and all that lie before it."""
        found: set[int] = set()
        left = [number]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self.parents[one]
        return found

    def commit(self, revision: str, _: Deadline) -> Commit:
        number = int(revision, 16)
        return Commit(name(number), "A <a@x>", "2026-01-01T00:00:00+00:00", f"subject {number}")

    def merge_bases(self, one: str, others: Iterable[str], _: Deadline) -> list[str]:
        after = set[int]().union(*(self.ancestors(int(other, 16)) for other in others))
        common = self.ancestors(int(one, 16)) & after
        below = {each for top in common for each in self.ancestors(top) - {top}}
        return [name(each) for each in sorted(common - below)]

    def halving(self, bad: str, good: Iterable[str], _: Deadline) -> list[str]:
        left = self.ancestors(int(bad, 16))
        for each in good:
            left -= self.ancestors(int(each, 16))

        def rank(number: int) -> tuple[int, str]:
            weight = len(self.ancestors(number) & left)
            return -min(weight, len(left) - weight), name(number)

        return [name(number) for number in sorted(left, key=rank)]


def line(count: int) -> Parents:
    return [[number - 1] if number else [] for number in range(count)]


def real(folder: Path, parents: Parents) -> list[str]:
    """Make a repository with this history and a branch main; return the names of its commits."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    words = []
    for number, those in enumerate(parents):
        message = f"subject {number}"
        words.append(f"commit refs/heads/c{number}\nmark :{number + 1}\n")
        words.append(f"author A Thor <a@x> {1000 + number} +0000\n")
        words.append(f"committer A <a@x> {1000 + number} +0000\ndata {len(message)}\n{message}\n")
        words += [f"{'merge' if at else 'from'} :{parent + 1}\n" for at, parent in enumerate(those)]
        words.append(f"M 100644 inline state\ndata {len(str(number))}\n{number}\n")
    words.append(f"reset refs/heads/main\nfrom :{len(parents)}\n")
    argv = ["git", "fast-import", "--quiet"]
    text = "".join(words).encode()
    subprocess.run(argv, cwd=folder, input=text, check=True, capture_output=True)
    git(folder, "reset", "-q", "--hard")
    listed = git(folder, "rev-parse", *(f"c{number}" for number in range(len(parents))))
    return listed.decode().split()
