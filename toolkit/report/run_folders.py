"""Finds the folders that runs left, by path, by name, or as the last one."""

from __future__ import annotations

from pathlib import Path

from toolkit.core.errors import UserError

LAST = "last"
_RESULT = "result.json"


def locate(name: str, folder: Path) -> Path:
    """Return the run folder that ``name`` means, in ``folder`` unless it is a path.

    ``last`` is the newest; otherwise a part of one folder's name will do. Raises
    :class:`UserError` for none and for several.
    """
    path = Path(name).expanduser()
    if (path / _RESULT).is_file():
        return path
    if path.is_file() and path.name == _RESULT:
        return path.parent
    known = sorted(each.parent for each in folder.glob(f"*/{_RESULT}"))
    if name == LAST and known:
        return known[-1]
    found = [each for each in known if name in each.name]
    if len(found) == 1:
        return found[0]
    recent = ", ".join(each.name for each in (found or known)[-5:]) or "none"
    problem = "may be one of several runs" if found else "is no run"
    raise UserError(
        f"{name!r} {problem}", hint=f"name a run folder, or one of those in {folder}: {recent}"
    )
