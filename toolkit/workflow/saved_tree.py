"""What a saved build has of the patched tree: enough to say whose line of it is which.

That is each file that the series touches, as it was and as it is, and the patches themselves.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedFile, PatchedTree, PatchSeries

_BEFORE, _AFTER, _PATCHES, _RECORD = "before", "after", "patches", "files.json"


def save(tree: PatchedTree, folder: Path) -> None:
    """Write what there is of ``tree`` into the new ``folder``."""
    folder.mkdir()
    for name, file in tree.files.items():
        original = tree.base.path / name
        if original.is_file():
            _write(folder / _BEFORE / name, original.read_bytes())
        if file.content is not None:
            _write(folder / _AFTER / name, file.content)
    for number, patch in enumerate(tree.series.patches if tree.series else (), 1):
        _write(folder / _PATCHES / str(number), patch.content)
    modes = {name: file.executable for name, file in tree.files.items()}
    (folder / _RECORD).write_text(json.dumps({"key": tree.key, "executable": modes}, indent=1))


def load(folder: Path, base: KernelBase, series: PatchSeries) -> PatchedTree | None:
    """Return the tree that lies in ``folder``; None where there is no such folder.

    Its base is the part of ``base`` that the series touches. Raises :class:`UserError` where
    something of it is gone.
    """
    if not folder.is_dir():
        return None
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        patches = tuple(
            replace(patch, content=(folder / _PATCHES / str(number)).read_bytes())
            for number, patch in enumerate(series.patches, 1)
        )
        files = {
            name: PatchedFile(_content(folder / _AFTER / name), executable)
            for name, executable in record["executable"].items()
        }
        return PatchedTree(
            replace(base, path=folder / _BEFORE),
            replace(series, patches=patches),
            files,
            record["key"],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"what {folder} holds of the patched tree is damaged: {error}",
            hint="save the build again",
        ) from error


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
