"""Kernel configuration: fragments, how they merge, and what Kconfig made of them.

Pure functions over text. Kconfig silently drops an option whose dependencies are unmet, so every
request is checked against the final .config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.text import counted

_ASSIGNMENT = re.compile(r"(CONFIG_[A-Za-z0-9_]+)=(.*)")
_UNSET = re.compile(r"# (CONFIG_[A-Za-z0-9_]+) is not set")
MAX_SHOWN = 5  # options in one line
MAX_CHANGES = 40  # of somebody's configuration, of which each is said
# What the compiler, its tools and the architecture can do: no choice of anybody's.
_PROBED = re.compile(r"CONFIG_(CC|GCC|CLANG|LD|LLD|AS|HAVE|ARCH|TOOLS|RUSTC?|PAHOLE)_")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A requested option that the final configuration does not have as requested."""

    option: str
    wanted: str
    got: str
    origin: str

    @property
    def granted(self) -> bool:
        """Whether it is there anyway: as a module instead of built in, or the other way round."""
        return {self.wanted, self.got} <= {"y", "m"}

    def __str__(self) -> str:
        """Return the line that the error shows."""
        return f"{self.option}={self.wanted} asked for by {self.origin}, became {self.got}"


def parse_config(text: str) -> dict[str, str]:
    """Return the options of a complete .config; one that is not set has the value ``n``."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _ASSIGNMENT.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def parse_fragment(text: str, origin: str) -> Fragment:
    """Return the options a fragment asks for.

    Comments and blank lines are skipped. Anything else that is no assignment, and an option
    given twice with two values, raises :class:`UserError` with the line.
    """
    options: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        match = _ASSIGNMENT.fullmatch(line) or _UNSET.fullmatch(line)
        if match is None:
            if line and not line.startswith("#"):
                raise UserError(
                    f"{origin}:{number}: not a configuration option: {line!r}",
                    hint="write CONFIG_NAME=y, =m, =n, a number or a quoted string",
                )
            continue
        option, value = match[1], match[2] if match.re is _ASSIGNMENT else "n"
        if options.setdefault(option, value) != value:
            raise UserError(
                f"{origin}:{number}: {option} is {options[option]} above and {value} here",
                hint="keep one of the two lines",
            )
    return Fragment(origin, options)


def merge(fragments: Iterable[Fragment]) -> dict[str, tuple[str, str]]:
    """Return option -> (value, origin).

    A later fragment overrides an earlier one, and any that is not soft overrides a soft one.
    """
    merged: dict[str, tuple[str, str]] = {}
    for fragment in sorted(fragments, key=lambda fragment: not fragment.soft):
        for option, value in fragment.options.items():
            merged[option] = (value, fragment.origin)
    return merged


def render(merged: Mapping[str, tuple[str, str]]) -> str:
    """Return merged options as lines that can be appended to a .config."""
    return "".join(
        f"# {option} is not set\n" if value == "n" else f"{option}={value}\n"
        for option, (value, _) in merged.items()
    )


def dropped(config: str, merged: Mapping[str, tuple[str, str]]) -> list[Dropped]:
    """Return every option that ``config`` does not have as ``merged`` asked."""
    kept = parse_config(config)
    return [
        Dropped(option, value, kept.get(option, "n"), origin)
        for option, (value, origin) in merged.items()
        if kept.get(option, "n") != value
    ]


def without(text: str, options: Iterable[str]) -> str:
    """Return a configuration's text in which ``options`` are not set, whatever they were."""
    return text + "".join(f"# {option} is not set\n" for option in options)


def changes(
    name: str, started: Mapping[str, str], merged: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Return a line for each origin whose options differ from the configuration ``name``."""
    by_origin: dict[str, list[str]] = {}
    for option, (value, origin) in merged.items():
        had = started.get(option, "n")
        if had != value:
            by_origin.setdefault(origin, []).append(f"{option}={value} (was {had})")
    return [
        f"{name} is changed for {origin}: {_listed(options, MAX_CHANGES)}"
        for origin, options in by_origin.items()
    ]


def lost(name: str, wanted: str, text: str) -> list[str]:
    """Return a line on what the configuration ``name`` has and the kernel with ``text`` has not.

    ``wanted`` is what it was given as. What an option found out about the compiler is left out.
    """
    kept = parse_config(text)
    gone = [
        f"{option}={value}"
        for option, value in parse_config(wanted).items()
        if value in ("y", "m") and kept.get(option, "n") == "n" and not _PROBED.match(option)
    ]
    if not gone:
        return []
    options = counted(len(gone), "option")
    return [f"this kernel does not have {options} of {name}: {_listed(gone, MAX_SHOWN)}"]


def _listed(words: Sequence[str], limit: int) -> str:
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more


def wishes(fragments: Iterable[Fragment]) -> list[str]:
    """Return the options that soft fragments alone ask for, sorted."""
    listed = list(fragments)
    firm = {option for fragment in listed if not fragment.soft for option in fragment.options}
    return sorted({option for fragment in listed for option in fragment.options} - firm)


def ungranted(missing: Sequence[Dropped], why: Mapping[str, str]) -> str:
    """Return a line on the wishes that Kconfig did not grant; ``why`` as in :func:`refuse`."""
    origins = ", ".join(dict.fromkeys(item.origin for item in missing))
    options = [
        f"{item.option}={item.wanted}" + (f" ({why[item.option]})" if why.get(item.option) else "")
        for item in missing
    ]
    return f"Kconfig dropped {_listed(options, MAX_SHOWN)}, asked for by {origins}"


def refuse(missing: Sequence[Dropped], why: Mapping[str, str]) -> UserError:
    """Return the error for dropped options; ``why`` has the reasons that are known."""
    first = missing[0]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    lines = [
        str(item) + (f": {why[item.option]}" if why.get(item.option) else "") for item in missing
    ]
    return UserError(
        f"Kconfig dropped {first.option}={first.wanted}, which {first.origin} asks for{more}",
        hint="add what it depends on to the same fragment, or take the option out of it",
        detail=lines,
    )
