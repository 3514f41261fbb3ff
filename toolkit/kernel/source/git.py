"""``git:PATH@REV``: the tree of one commit of a local repository."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host.cache import Cache, digest
from toolkit.host.git import Repository, at_revision
from toolkit.kernel.source import git_export
from toolkit.kernel.source.git_export import Near
from toolkit.kernel.source.provider import (
    KIND,
    STAGE,
    Provider,
    in_mib,
    intact,
    save_pointer,
    store,
)

FORM = "git:PATH@REV"
DEFAULT = "HEAD"


def parse(spec: str, rest: str) -> Provider:
    """Return the repository and revision; whether they exist is seen when they are fetched."""
    path, revision = at_revision(rest)
    return Git(spec, path, revision or DEFAULT)


@dataclass(frozen=True, slots=True)
class Git:
    """The tree of one commit of a local repository."""

    spec: str
    path: Path
    revision: str

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        if not self.path.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.path}")
        repository = Repository(self.path)
        # The tree's own id, not the commit's: what depends on the commit must not get in.
        tree_id = repository.tree_id(self.revision, deadline)
        lineage = digest("git", str(repository.folder(deadline)))
        latest = cache.root / KIND / f"latest-{lineage}.json"
        attributes = digest(repository.attributes(deadline))

        def fill(tree: Path) -> None:
            observer.stage_progress(STAGE, 0, None, f"git archive {self.revision}")
            git_export.export(
                repository,
                tree_id,
                tree,
                near=_near(latest, attributes, cache),
                report=in_mib(observer, "MiB unpacked"),
                deadline=deadline,
            )

        base, cached = store(self.spec, _git_key(tree_id), fill, cache, deadline)
        if not cached:
            save_pointer(latest, [tree_id, attributes])
        return replace(base, lineage=lineage), cached


def _git_key(tree_id: str) -> str:
    return digest("git", tree_id)


def _near(pointer: Path, attributes: str, cache: Cache) -> Near | None:
    """Return the commit's tree that was exported last from the repository of ``pointer``."""
    try:
        tree_id, exported_with = json.loads(pointer.read_text())
        folder = cache.find(KIND, _git_key(tree_id)) if exported_with == attributes else None
    except (OSError, ValueError, TypeError):
        return None
    return Near(tree_id, folder / "tree") if folder and intact(folder) else None
