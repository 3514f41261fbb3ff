"""Where things are: the project's own folders, and the user's by the XDG rules."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from toolkit.core.errors import UserError

APP = "kernel-toolkit"
_PARTS = ("patches", "kselftests", "vm-images")


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one call of the toolkit."""

    root: Path  # holds patches/, kselftests/ and vm-images/
    cache: Path
    runs: Path
    history: Path  # the database of all runs

    @property
    def patches(self) -> Path:
        """The carried series."""
        return self.root / "patches"

    @property
    def suites(self) -> Path:
        """The selftests."""
        return self.root / "kselftests"

    @property
    def images(self) -> Path:
        """The guest images."""
        return self.root / "vm-images"


def resolve(root: Path | None = None) -> Paths:
    """Return the folders; ``root`` overrides $TOOLKIT_ROOT, which overrides the checkout.

    Raises :class:`UserError` when the root does not hold the three folders.
    """
    chosen = root or Path(os.environ.get("TOOLKIT_ROOT", "") or Path(__file__).parents[2])
    missing = [name for name in _PARTS if not (chosen / name).is_dir()]
    if missing:
        raise UserError(
            f"{chosen} is no checkout of the toolkit: it lacks {', '.join(missing)}",
            hint="run from a checkout, or name one with --root or TOOLKIT_ROOT",
        )
    return Paths(
        root=chosen.resolve(),
        cache=platformdirs.user_cache_path(APP),
        runs=platformdirs.user_state_path(APP) / "runs",
        history=platformdirs.user_state_path(APP) / "history.sqlite",
    )


def new_run_dir(runs: Path, name: str) -> Path:
    """Make and return a fresh run folder whose name sorts by time."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    plain = "".join(c if c.isalnum() or c in ".-" else "-" for c in name).strip("-.")[:60]
    path = runs / f"{stamp}-{plain or 'run'}-{os.urandom(2).hex()}"
    path.mkdir(parents=True)
    return path
