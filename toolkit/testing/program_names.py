"""Whether a suite can have a program of some name, told before anything is built.

make alone knows the programs, and only where the kernel's headers are there. What can be told
before is what a name cannot come from: no source, no script and no word of a Makefile.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedTree
from toolkit.testing import in_tree_suites
from toolkit.testing.suites import Suite

_MAX_FILES = 5000  # of one suite
_WORD = re.compile(r"[A-Za-z0-9_][\w.+/-]*")
_GLOB = re.compile(r"[*?\[]")


def check(globs: Sequence[str], suites: Sequence[Suite], tree: Callable[[], PatchedTree]) -> None:
    """Raise :class:`UserError` for a glob that no program of ``suites`` can have as its name.

    ``tree`` is asked for only where one of the suites is the kernel's own. That nothing is raised
    does not mean that there is such a program.
    """
    if not globs or not suites:
        return
    names = {name for suite in suites for name in _candidates(suite, tree)}
    for glob in globs:
        if any(fnmatch.fnmatchcase(name, glob) for name in names):
            continue
        # A Makefile may add to a source's name: foo.c becomes foo_32 and foo_64.
        literal = _GLOB.split(glob, maxsplit=1)[0]
        if any(literal.startswith(name) or name.startswith(literal) for name in names if literal):
            continue
        if not literal:
            continue
        near = difflib.get_close_matches(glob, sorted(names), n=3)
        listed = ", ".join(suite.name for suite in suites)
        raise UserError(
            f"no test program of {listed} can be called {glob!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "--test takes a program's name",
        )


def _candidates(suite: Suite, tree: Callable[[], PatchedTree]) -> Iterator[str]:
    if suite.unittests:
        yield from suite.unittests  # and no other: the rest of the checkout is no test
        return
    if suite.kunit:
        yield from (module.name for module in suite.kunit.modules)
    if suite.path is not None:
        yield from _of_folder(suite.path)
    if suite.target:
        patched = tree()
        yield from _of_folder(patched.base.path / in_tree_suites.FOLDER / suite.target)
        top = f"{in_tree_suites.FOLDER}/{suite.target}/"
        for name, file in patched.files.items():
            if name.startswith(top) and file.content is not None:
                yield from _of_file(name.removeprefix(top), file.content)


def _of_folder(folder: Path) -> Iterator[str]:
    if folder.is_file():  # a program from elsewhere
        yield folder.name
        return
    for count, path in enumerate(folder.rglob("*")):
        if count > _MAX_FILES:
            return
        if path.is_file():
            makefile = path.name.startswith("Makefile") or path.suffix == ".mk"
            content = path.read_bytes() if makefile else b""
            yield from _of_file(path.relative_to(folder).as_posix(), content)


def _of_file(name: str, content: bytes) -> Iterator[str]:
    """Yield what a file may give its name to, and the words of a Makefile."""
    path = PurePosixPath(name)
    yield from (name, path.name, path.stem, path.with_suffix("").as_posix())
    if path.name.startswith("Makefile") or path.suffix == ".mk":
        for word in _WORD.findall(content.decode(errors="replace")):
            yield from (word, PurePosixPath(word).name)
