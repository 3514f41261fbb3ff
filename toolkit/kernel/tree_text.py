"""The text of a patched tree's files: as the series leaves them, else as the base has them."""

from __future__ import annotations

from toolkit.core.model.series import PatchedTree


def read(tree: PatchedTree, name: str) -> str | None:
    """Return the text of a file of the patched tree, or None where it has none."""
    if file := tree.files.get(name):
        return None if file.content is None else file.content.decode(errors="replace")
    try:
        return (tree.base.path / name).read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
