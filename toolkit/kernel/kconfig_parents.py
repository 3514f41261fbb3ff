"""What options depend on, as far as that can be asked for along with them.

Kconfig drops an option whose dependencies are not met and enables none of them. Whoever asks for a
test's option, or a driver's, would have to list its menus, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from toolkit.kernel import kconfig_explain
from toolkit.kernel.kconfig_explain import Symbol

# Part of a dependency that is one symbol, with the value that it has to have.
NAMED = re.compile(r"(CONFIG_)?([A-Z0-9][A-Z0-9_]*)\s*(=\s*y|=\s*m|!=\s*n)?")
_MAX_PARTS = 1000  # of an expression, and levels of parentheses: each is read anew
# No parents to enable: they instrument the whole kernel, or only say where something is built.
_LEFT_ALONE = frozenset({"COMPILE_TEST", "KASAN", "KCSAN", "KMSAN", "KUNIT_ALL_TESTS", "UML"})
_LEVELS = {"n": 0, "m": 1, "y": 2}


def with_parents(
    symbols: Mapping[str, Symbol], options: Collection[str], built_in: Collection[str] = ()
) -> dict[str, str]:
    """Return values for ``options`` (CONFIG_…) and, as far as they can be set, their parents.

    What may be a module is one, but for those ``built_in`` and what these depend on. Of a
    dependency only the parts are followed that are one symbol (``A && B=y``); a choice between
    several (``A || B``) is left to what the rest makes of it. An option of ``options`` that nobody
    can set may still come by a default, once its parents are there.
    """
    reached: dict[str, str] = {}
    left = [
        (option.removeprefix("CONFIG_"), "y" if option in built_in else "m")
        for option in sorted(options)
    ]
    while left:
        name, level = left.pop()
        symbol, option = symbols.get(name), f"CONFIG_{name}"
        if symbol is None or symbol.type not in ("bool", "tristate") or name in _LEFT_ALONE:
            continue
        value = "y" if symbol.type == "bool" else level
        if reached.get(option) in (value, "y") or not (symbol.prompt or option in options):
            continue
        reached[option] = value
        least = value if symbol.type == "tristate" else "m"
        left += ((each, max(least, its)) for each, its in _parents(symbol.places[0]))
    return {
        option: value
        for option, value in sorted(reached.items())
        if symbols[option.removeprefix("CONFIG_")].prompt
    }


def missing_parents(
    symbols: Mapping[str, Symbol], config: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    """Return what ``wanted`` (CONFIG_… to y or m) lacks in a configuration, with the values for it.

    See :func:`with_parents` for what cannot be asked for.
    """
    built_in = [option for option, value in wanted.items() if value == "y"]
    return {
        option: value
        for option, value in with_parents(symbols, wanted, built_in).items()
        if option not in wanted and _level(config.get(option, "n")) < _level(value)
    }


def _level(value: str) -> int:
    return _LEVELS.get(value, 0)


def _parents(guards: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each symbol that has to be set, and the least value that does."""
    for part in (part for guard in guards for part in parts(guard)):
        if match := NAMED.fullmatch(part):
            yield match[2], "y" if (match[3] or "").endswith("y") else "m"


def parts(expression: str) -> Iterator[str]:
    """Yield what an expression joins by ``&&``, without parentheses around all of a part."""
    left = [expression]
    for _ in range(_MAX_PARTS):
        if not left:
            return
        part = left.pop()
        inner = kconfig_explain.split(part)
        depths = itertools.accumulate({"(": 1, ")": -1}.get(letter, 0) for letter in part)
        if len(inner) > 1:
            left += reversed(inner)
        elif part.startswith("(") and part.endswith(")") and 0 not in list(depths)[:-1]:
            left.append(part[1:-1].strip())
        else:
            yield part
