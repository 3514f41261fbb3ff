"""``--suite kunit[:GLOB]``: which of a tree's KUnit tests are asked for.

GLOB is what kunit.py's and the kernel's own ``kunit.filter_glob`` take (lib/kunit/executor.c):
``SUITE`` or ``SUITE.TEST``, both globs.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from toolkit.core.errors import UserError
from toolkit.kernel.kunit_tests import TestModule
from toolkit.testing.suite_names import KUNIT

ALL = "*"
_NEAR = 3


def glob_of(name: str) -> str:
    """Return the GLOB of a name; raise :class:`UserError` where there is none behind the colon."""
    glob = name.removeprefix(KUNIT).removeprefix(":")
    if name != KUNIT and not glob:
        raise UserError(f"--suite {name}: there is no glob", hint=f"all of them are {KUNIT}:{ALL}")
    return glob or ALL


def choose(modules: Sequence[TestModule], glob: str) -> tuple[TestModule, ...]:
    """Return the modules with a test that ``glob`` matches.

    Raises :class:`UserError` with near names where there is none. A suite whose name cannot be read
    in its source goes by its module's; one whose tests cannot be read has every test.
    """
    suite_glob, dot, test_glob = glob.partition(".")
    of_suite = [
        module
        for module in modules
        if any(fnmatchcase(name, suite_glob) for name in module.suites or (module.name,))
    ]
    chosen = [
        module
        for module in of_suite
        if not dot or not module.cases or any(fnmatchcase(c, test_glob) for c in module.cases)
    ]
    if chosen:
        return tuple(chosen)
    if not modules:
        raise UserError(f"--suite {KUNIT}:{glob}: the tree has no KUnit tests")
    if of_suite:
        names = [case for module in of_suite for case in module.cases]
        near = difflib.get_close_matches(test_glob, names, n=_NEAR) or names[:_NEAR]
        wanted = [f"{suite_glob}.{name}" for name in near]
        what = f"no test of the KUnit suites {suite_glob} is called {test_glob!r}"
    else:
        wanted = _near(modules, suite_glob)
        what = f"no KUnit suite of the tree is called {suite_glob!r}"
    hint = f"did you mean {' or '.join(f'{KUNIT}:{name}' for name in wanted)}?" if wanted else ""
    raise UserError(what, hint=hint or f"{KUNIT}:{ALL} runs all of them")


def _near(modules: Sequence[TestModule], glob: str) -> list[str]:
    """Return suites with a name like ``glob``, or in a module of such a name."""
    names = {suite: suite for module in modules for suite in module.suites}
    names |= {module.name: suite for module in modules for suite in module.suites[:1]}
    like = difflib.get_close_matches(glob, sorted(names), n=_NEAR)
    like += [name for name in sorted(names) if glob.strip("*") and glob.strip("*") in name]
    return list(dict.fromkeys(names[name] for name in like))[:_NEAR]
