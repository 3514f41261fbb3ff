"""Run a kernel tree's own scripts/checkpatch.pl --strict over a patch.

Two of its questions are answered here instead of being passed on, as they can be: whether a
commit exists, which takes a git repository, and whether MAINTAINERS covers a new file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.host import process, sandbox

_ADDED = re.compile(rb"^--- /dev/null\r?\n\+\+\+ b/(\S+)|^(?:rename|copy) to (\S+)", re.MULTILINE)
_DELETED = re.compile(rb"^\+\+\+ /dev/null|^rename from ", re.MULTILINE)
_ENTRY = re.compile(r"^F:\s*(\S+)", re.MULTILINE)
_EVERYTHING = ("*", "*/")  # the entry THE REST


def check(patch: bytes, tree: Path, deadline: Deadline) -> tuple[str, ...]:
    """Return what the checkpatch.pl of ``tree`` complains of, a line each."""
    argv = [
        *("perl", "scripts/checkpatch.pl", "--strict", "--terse", "--show-types"),
        *("--no-summary", "--color=never"),
        *(f"--ignore={name}" for name in answered(patch, tree)),
        "-",
    ]
    done = process.run(
        argv,
        cwd=tree,
        input=patch,
        check=False,
        deadline=deadline,
        env={"HOME": os.devnull},  # where somebody's .checkpatch.conf may lie
        inherit=process.CLEAN,
        within=sandbox.confine(readonly=[tree]),
    )
    return tuple(line.strip() for line in done.text.splitlines() if line.strip())


def answered(patch: bytes, tree: Path) -> Iterator[str]:
    """Yield the types of complaint that say nothing about this patch on this tree."""
    if not (tree / ".git").exists():
        yield "UNKNOWN_COMMIT_ID"
    added = [(match[1] or match[2]).decode(errors="replace") for match in _ADDED.finditer(patch)]
    if added and not _DELETED.search(patch):
        maintainers = tree / "MAINTAINERS"
        text = maintainers.read_text(errors="replace") if maintainers.is_file() else ""
        if covered(added, text):
            yield "FILE_PATH_CHANGES"


def covered(paths: Iterable[str], maintainers: str) -> bool:
    """Return whether an entry of MAINTAINERS names each of ``paths``, or a folder above it.

    A pattern is read as scripts/get_maintainer.pl does it: an asterisk stands for anything,
    and without a slash at its end the pattern has as many slashes as the path.
    """
    patterns = [name for name in _ENTRY.findall(maintainers) if name not in _EVERYTHING]
    return all(any(_matches(pattern, path) for pattern in patterns) for path in paths)


def _matches(pattern: str, path: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(sign) or re.escape(sign) for sign in pattern)
    if pattern.endswith("/"):
        return re.match(regex, path) is not None
    return re.fullmatch(regex, path) is not None and pattern.count("/") == path.count("/")
