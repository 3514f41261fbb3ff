"""Repeat something after each change of an input, until ^C: the loop behind `toolkit watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import watchfiles

from toolkit.core.errors import UserError
from toolkit.core.paths import Paths
from toolkit.series import catalog
from toolkit.testing import kvm_unit_tests, outside_suites, suite_names

_SETTLE = 200  # milliseconds of quiet after an edit: editors write a file in several steps
_TREE = "tree:"

Changes = Callable[[Sequence[Path]], Iterator[object]]


def places(
    paths: Paths, patch: str | None, kernel: str, configs: Sequence[str], suites: Sequence[str] = ()
) -> list[Path]:
    """Return the folders and files that a run's results depend on, as far as people edit them.

    ``patch``, ``kernel`` and ``suites`` are the command line's, ``configs`` its --config and
    each --profile. Raises :class:`UserError` for a ``patch`` that names no series.
    """
    own = [paths.patches, paths.suites, paths.images]
    series = catalog.places(patch, paths.patches) if patch else ()
    named = [each for each in series if not each.resolve().is_relative_to(paths.patches)]
    given = (*configs, kernel.removeprefix(_TREE) if kernel.startswith(_TREE) else "")
    named += map(Path, filter(None, given))
    named += [outside_suites.place(name) for name in suites if outside_suites.is_path(name)]
    named += [kvm_unit_tests.place(name) for name in suites if suite_names.is_kvm_unit_tests(name)]
    return [place for place in (*own, *named) if place.exists()]


def watch(once: Callable[[], None], where: Sequence[Path], changes: Changes | None = None) -> None:
    """Call ``once``, then again after each change below ``where``; ends with ^C.

    ``changes`` yields once when it begins to listen, and again after each change, including those
    made while ``once`` ran.
    """
    events = (changes or _changes)(where)
    # It listens before the first run reads its inputs, so that no edit falls in between.
    next(events)
    while True:
        once()
        next(events)


def _changes(where: Sequence[Path]) -> Iterator[object]:
    batches = watchfiles.watch(
        *where, debounce=_SETTLE, yield_on_timeout=True, rust_timeout=_SETTLE, raise_interrupt=True
    )
    try:
        yield next(batches)
        while True:
            if changed := next(batches):
                yield changed
    except (OSError, RuntimeError) as error:  # the latter: watchfiles' own
        raise UserError(
            f"the kernel does not watch {', '.join(map(str, where))}: {error}",
            hint="inotify's limits may be too low: sysctl -w fs.inotify.max_user_watches=524288 "
            "fs.inotify.max_user_instances=512",
        ) from error
