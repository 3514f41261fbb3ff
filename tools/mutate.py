"""Show that the selftests bite: put small faults into a series, and see which case catches each.

    python -m tools.mutate                            every fault in tools/faults/iosignalfd
    python -m tools.mutate '0*' '48-*'                some of them
    python -m tools.mutate --profile debug '32-*'     on a kernel with KASAN and fault injection
    python -m tools.mutate -t '*fault*' '32-*'        with some of the test programs

Each fault is a patch on top of the series. Only what it touches is rebuilt, and its run ends with
the first case that fails. Prints a table; exit code 1 when a fault survives that is not listed in
SURVIVORS.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core import paths
from toolkit.core.errors import KernelError, ToolkitError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.series import Patch
from toolkit.core.model.testing import Leaf
from toolkit.core.observer import Silent
from toolkit.kernel import profile
from toolkit.workflow import pipeline
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

SERIES = "iosignalfd/v4"
FAULTS = Path(__file__).parent / "faults/iosignalfd"
_ALLOCATION = "wants an allocation to fail: --profile debug"
SURVIVORS = {
    "32-refusal-counts": _ALLOCATION,
    "51-no-grace-period-for-table": "a vCPU has to stay in one search while two ioctls go by",
    "69-enomem-as-enospc": _ALLOCATION,
    "70-failed-create-stays-listed": _ALLOCATION,
}


class Caught(Exception):  # noqa: N818 - it is no error
    """The first bad leaf of a run."""


class Hunter(Silent):
    """Ends a run at its first bad leaf."""

    def test_finished(self, leaf: Leaf) -> None:
        if leaf.status.bad:
            raise Caught(f"{leaf.id} ({leaf.status})")


def hunt(fault: Path, options: Fragment | None = None, tests: Sequence[str] = ()) -> str:
    """Run the series with one fault; return what caught it, or "" when nothing did."""
    with tempfile.TemporaryDirectory(prefix="toolkit-mutate-") as folder:
        # Without a history the programs come in their own order, short ones among them early.
        places = replace(paths.resolve(), history=Path(folder) / "history")
        request = Request(patch=SERIES, profile=options, tests=tuple(tests))
        sound = Run(request, places, Path(folder), Silent())
        assert sound.series is not None
        seeded = Patch(fault.name, fault.stem, fault.read_bytes(), fault)
        series = replace(sound.series, patches=(*sound.series.patches, seeded))
        reached = replace(sound.reached, series=series)
        run = Run(request, places, sound.folder, Hunter(), reached=reached)
        try:
            pipeline.build_and_test(run)
        except Caught as caught:
            return str(caught)
        except KernelError as error:
            return f"({error.what})"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("globs", nargs="*")
    parser.add_argument("--profile")
    parser.add_argument("-t", "--test", action="append", default=[])
    given = parser.parse_args()
    globs, options = given.globs, profile.load(given.profile) if given.profile else None
    survived = 0
    for fault in sorted(FAULTS.glob("*.patch")):
        if globs and not any(fnmatch.fnmatchcase(fault.stem, glob) for glob in globs):
            continue
        try:
            caught = hunt(fault, options, given.test)
        except ToolkitError as error:
            caught = f"NOT RUN: {error.what}"
        if not caught:
            reason = SURVIVORS.get(fault.stem)
            if options and reason == _ALLOCATION:
                reason = None  # there they fail
            survived += reason is None
            caught = f"SURVIVED: {reason or 'nothing caught it'}"
        print(f"{fault.stem:<40} {caught}", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
