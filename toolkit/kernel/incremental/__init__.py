"""Build an edit that reaches modules alone by the commands that kbuild recorded.

This is the whole entrance to the package: ``worktree`` writes a :class:`ChangeLog`, and ``kbuild``
claims a build folder and brings it up to date; :class:`Variants` makes modules of other sources
beside what was built there. With ``replay=False`` make does all of it, and
gives the same bytes (tests/vm/test_replay.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolkit.kernel.incremental import affected
from toolkit.kernel.incremental import replay as recorded
from toolkit.kernel.incremental.change_log import ChangeLog
from toolkit.kernel.incremental.variants import Part, Variants
from toolkit.kernel.make import Make

__all__ = ["ChangeLog", "Part", "Variants", "claim", "update"]


def claim(output: Path, source: Path) -> None:
    """Keep the build folder ``output`` for the tree in ``source``, and empty it if it had another.

    The files of a new tree may be older than objects that were made of others in their place.
    """
    affected.claim(output, ChangeLog(source))


def update(
    make: Make,
    config: str,
    identity: str,
    whole: Callable[[], None],
    on_line: Callable[[str], None],
    *,
    replay: bool = True,
) -> None:
    """Bring ``make.output`` up to date with ``make.source``: modules alone, or by ``whole``.

    ``config`` is the configuration's text, ``identity`` a digest of everything that the build
    depends on apart from the source, and ``on_line`` gets what a replay prints, line by line.
    Raises what ``whole`` raises: why a replay failed is for make to say.
    """
    log = ChangeLog(make.source)
    changes = affected.changes(make.output, identity, log) if replay else None
    affected.forget(make.output)
    if changes is None or not _modules_alone(make, config, changes, on_line):
        whole()
    affected.remember(make.output, identity, log)


def _modules_alone(
    make: Make, config: str, changes: dict[str, bool], on_line: Callable[[str], None]
) -> bool:
    """Build modules by recorded commands; return whether that was enough, and worked."""
    records = affected.in_modules(make.output, config, changes, make.deadline)
    if records is None:
        return False
    names = affected.modules(make.output)
    if recorded.modules(make, config, names, records, on_line):
        return all((make.output / name).is_file() for name in names)
    if make.log:
        make.log.unlink(missing_ok=True)  # make says it again, and better
    return False
