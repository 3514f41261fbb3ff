"""What stands in a patched tree, as far as it takes to see what reaches what."""

from __future__ import annotations

import functools
import json
import os
import posixpath
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedTree
from toolkit.host.cache import Cache, digest
from toolkit.kernel.prebuilt import includes, objects
from toolkit.kernel.prebuilt.includes import Include
from toolkit.kernel.prebuilt.objects import MAKEFILES
from toolkit.kernel.prebuilt.reach import Tree

_KIND = "includes"  # of cache entries
_FORMAT = 1


def scan(
    tree: PatchedTree,
    source: Path,
    output: Path,
    *,
    srcarch: str,
    cache: Cache,
    deadline: Deadline,
) -> Tree:
    """Return what is in a patched tree, which lies in ``source`` as well.

    The build folder ``output`` has the configuration that decides what the Makefiles make.
    """
    included = _of_base(tree.base, srcarch, cache, deadline)
    named = makefiles(tree.base.path, srcarch)
    for path, file in tree.files.items():
        for found in (included, named):
            found.pop(path, None)
        if file.content is None:
            continue
        if includes.is_source(path, srcarch):
            included[path] = includes.of_text(file.content)
        if posixpath.basename(path) in MAKEFILES:
            named[path] = file.content.decode(errors="replace")

    @functools.cache
    def listed(folder: str) -> objects.Objects | None:
        return objects.listed(source, output, folder, srcarch, deadline)

    return Tree(tree, srcarch, included, listed, named)


def _of_base(
    base: KernelBase, srcarch: str, cache: Cache, deadline: Deadline
) -> dict[str, list[Include]]:
    """Return what each source of the base includes; reading them all takes seconds."""

    def fill(folder: Path) -> None:
        (folder / "includes.json").write_text(json.dumps(includes.scan(base.path, srcarch)))

    key = digest(_FORMAT, base.key, srcarch)
    path, _ = cache.make(_KIND, key, fill, deadline=deadline, label=base.name)
    stored = json.loads((path / "includes.json").read_text())
    return {name: [(quoted, other) for quoted, other in words] for name, words in stored.items()}


def makefiles(root: Path, srcarch: str) -> dict[str, str]:
    """Return the text of the Makefiles that name what a kernel of an architecture is made of."""
    texts = {}
    for place, folders, names in os.walk(root):
        prefix = place[len(str(root)) + 1 :]
        if not prefix:
            folders[:] = [name for name in folders if name not in includes.APART]
        if prefix == "arch":
            folders[:] = [srcarch]
        for name in MAKEFILES:
            if name in names:
                path = f"{prefix}/{name}" if prefix else name
                texts[path] = (root / path).read_text(errors="replace")
    return texts
