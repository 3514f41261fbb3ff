"""Where things are: the project's own folders, and the user's by the XDG rules."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
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
    def errors(self) -> Path:
        """Tracebacks of the toolkit's own faults."""
        return self.runs.parent / "errors"

    @property
    def settings(self) -> Path:
        """The user's settings: the keys of a shared cache; raises as :func:`resolve` does."""
        return _absolute(platformdirs.user_config_path, "XDG_CONFIG_HOME")

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

    Raises :class:`UserError` when the root does not hold the three folders, and when there is no
    home folder for what the XDG variables do not place elsewhere.
    """
    chosen = root or Path(os.environ.get("TOOLKIT_ROOT", "") or Path(__file__).parents[2])
    missing = [name for name in _PARTS if not (chosen / name).is_dir()]
    if missing:
        raise UserError(
            f"{chosen} is no checkout of the toolkit: it lacks {', '.join(missing)}",
            hint="run from a checkout, or name one with --root or TOOLKIT_ROOT",
        )
    state = _absolute(platformdirs.user_state_path, "XDG_STATE_HOME")
    return Paths(
        root=chosen.resolve(),
        cache=_absolute(platformdirs.user_cache_path, "XDG_CACHE_HOME"),
        runs=state / "runs",
        history=state / "history.sqlite",
    )


def _absolute(folder: Callable[[str], Path], variable: str) -> Path:
    try:
        path = folder(APP)
    except RuntimeError:  # newer releases of platformdirs; older ones return ~/… as it is
        path = Path("~")
    if not path.is_absolute():
        raise UserError(
            f"there is no home folder for the toolkit's files: HOME is not set, user {os.getuid()} "
            f"is unknown to the password database, and {variable} names no other place",
            hint="set HOME, or each of XDG_CACHE_HOME, XDG_CONFIG_HOME and XDG_STATE_HOME, to an "
            "absolute path",
        )
    return path


def expand(name: str) -> Path:
    """Return the path ``name``, a leading ``~`` or ``~USER`` replaced by that home folder.

    Raises :class:`UserError` where there is no such folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{name}: no home folder is known for it", hint="write the path without ~"
        ) from error


def exists(path: Path) -> bool:
    """Return whether there is anything at a path that somebody gave; not for one that is too long.

    Raises :class:`UserError` where that cannot be told.
    """
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        hint = "name a place that you may read"
        raise UserError(f"cannot look for {path}: {error.strerror}", hint=hint) from error


def home() -> Path | None:
    """Return the caller's home folder; None where HOME and the password database name none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def new_run_dir(runs: Path, name: str) -> Path:
    """Make and return a fresh run folder whose name sorts by time."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    plain = "".join(c if c.isalnum() or c in ".-" else "-" for c in name).strip("-.")[:60]
    path = runs / f"{stamp}-{plain or 'run'}-{os.urandom(2).hex()}"
    path.mkdir(parents=True)
    return path
