"""Profiles: further kernel options for a run, carried here by name or given as a file."""

from __future__ import annotations

import difflib
from pathlib import Path

from toolkit.core import files
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.kernel import kconfig

_SUFFIX = ".config"
_FOLDER = Path(__file__).parent / "profiles"


def names() -> list[str]:
    """Return the names of the profiles that are carried."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def load(wanted: str) -> Fragment:
    """Return the options of a profile: a carried one's name, or the path of a file.

    A word with a slash or a dot in it is a path. Raises :class:`UserError` when there is no
    such profile, or when the file is no configuration fragment.
    """
    if not {"/", "."} & set(wanted):
        if wanted not in names():
            near = difflib.get_close_matches(wanted, names(), n=1)
            raise UserError(
                f"there is no profile {wanted!r}",
                hint=f"did you mean {near[0]}?"
                if near
                else f"there is: {', '.join(names())}; a file of options needs a / or a . in it",
            )
        path = _FOLDER / f"{wanted}{_SUFFIX}"
    else:
        path = Path(wanted)
    return kconfig.parse_fragment(files.text(path, "the profile"), f"profile {wanted}")
