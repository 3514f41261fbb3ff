"""Who includes whom in a kernel tree.

Text alone, whatever the configuration: an #include counts though an #if leaves it out. A name that
may stand for several files stands for all of them. So there may be more readers of a file here than
a compiler sees, but none less.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

# Whether it was written in quotes, and the name.
Include = tuple[bool, str]

# Begins with a literal, which is several times faster to look for than a line's beginning.
_INCLUDE = re.compile(rb'#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]')
_SOURCE = re.compile(r".*\.[chS]")
# No part of a kernel or of a module reads anything in there, or is made from it.
APART = frozenset({"Documentation", "rust", "samples", "scripts", "tools"})


def of_text(content: bytes) -> list[Include]:
    """Return the names that a C or assembler file includes."""
    return [
        (match[1] == b'"', match[2].decode(errors="replace"))
        for match in _INCLUDE.finditer(content)
        if _begins_line(content, match.start())
    ]


def _begins_line(content: bytes, place: int) -> bool:
    return not content[content.rfind(b"\n", 0, place) + 1 : place].strip(b" \t")


def is_source(path: str, srcarch: str) -> bool:
    """Return whether a path of the tree may be read to build a kernel of an architecture."""
    top, _, rest = path.partition("/")
    foreign = top == "arch" and not rest.startswith(f"{srcarch}/")
    return bool(_SOURCE.fullmatch(path)) and top not in APART and not foreign


def scan(tree: Path, srcarch: str) -> dict[str, list[Include]]:
    """Return what each source of a tree includes, by its path; takes seconds."""
    return {
        path: of_text((tree / path).read_bytes())
        for path in _paths(tree)
        if is_source(path, srcarch)
    }


def _paths(tree: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(tree):
        prefix = folder[len(str(tree)) + 1 :]
        if not prefix:
            folders[:] = [name for name in folders if name not in APART]
        for name in names:
            yield f"{prefix}/{name}" if prefix else name


def readers(including: Mapping[str, Collection[str]], changed: Iterable[str]) -> set[str]:
    """Return the ``changed`` files and all that include one of them, through others or not.

    ``including`` is what :func:`reverse` returns.
    """
    pending = list(changed)
    found = set(pending)
    while pending:
        more = set(including.get(pending.pop(), ())) - found
        found |= more
        pending += more
    return found


def reverse(includes: Mapping[str, Collection[Include]], srcarch: str) -> dict[str, set[str]]:
    """Return by file who includes it; takes seconds for a whole tree."""
    arch = f"arch/{srcarch}/include"
    roots = ("include", "include/uapi", arch, f"{arch}/uapi")
    called: defaultdict[str, list[str]] = defaultdict(list)
    for path in includes:
        called[posixpath.basename(path)].append(path)
    including: defaultdict[str, set[str]] = defaultdict(set)
    for user, names in includes.items():
        for quoted, name in names:
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(user), name))
            exact = [path for root in roots if (path := f"{root}/{name}") in includes]
            if quoted and beside in includes:
                targets = [beside]
            elif exact:
                targets = exact
            else:  # wherever an -I of some Makefile may find it
                tail = re.sub(r"^(\.\./)+", "", posixpath.normpath(name))
                same = called[posixpath.basename(name)]
                targets = [path for path in same if f"/{path}".endswith(f"/{tail}")]
            for target in targets:
                including[target].add(user)
    return including
