"""See to it that the kernel's messages reach the console, where the toolkit looks for complaints.

Without them a kernel that warns passes. A complaint's lines have levels down to KERN_INFO (6): that
is what mm/kmemleak.c reports with. So console_loglevel has to be 7, as it is by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from toolkit.core.errors import UserError

NEEDED = 7  # console_loglevel: what has a lower level is printed (kernel/printk/printk.c)
LOWEST = NEEDED - 1  # a message of this level comes through only if all do
LEVELS = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO")
# init/main.c prints this, with pr_info(), after it has read the whole command line.
STARTED = b" as init process"
_QUIET = 4  # CONFIG_CONSOLE_LOGLEVEL_QUIET's default; any value there is refused
# What lib/vsprintf.c's simple_strtol() takes: of 08 the 0.
_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,18})")
_QUOTED = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_OPTION = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)
_HINT = "leave it out: without the kernel's messages nobody sees what it complains of"


def parameters(words: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield names and values of a command line as next_arg() of lib/cmdline.c reads it.

    Blanks within double quotes belong to the value, and in a name "-" is "_" (parameq()). What
    follows "--" is for init.
    """
    for word in _QUOTED.findall(" ".join(words)):
        if word == "--":
            return
        plain = word[1:].removesuffix('"') if word.startswith('"') else word
        name, equals, value = plain.partition("=")
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        yield name.replace("-", "_"), value if equals else None


def check(cmdline: Sequence[str], config: str | None = None, *, console: str) -> None:
    """Raise :class:`UserError` for a command line, or configuration, that silences the console.

    ``config`` is the kernel configuration's text, where there is one already; ``console`` is the
    serial line that the toolkit reads.
    """
    level, source = NEEDED, ""
    options = dict(_OPTION.findall(config)) if config is not None else {}
    if config is not None and "# CONFIG_PRINTK is not set" in config.splitlines():
        raise UserError(
            "the kernel is configured without CONFIG_PRINTK",
            hint="without it nobody sees what the kernel complains of",
        )
    if number := _number(options.get("CONFIG_CONSOLE_LOGLEVEL_DEFAULT")):
        level, source = number, f"CONFIG_CONSOLE_LOGLEVEL_DEFAULT={number}"
    ignored = False
    for name, value in parameters(cmdline):
        shown = name if value is None else f"{name}={value}"
        if name == "console" and (value or "").partition(",")[0] != console:
            raise UserError(
                f"`{shown}` takes the console away from {console}, which the toolkit reads",
                hint=_HINT,
            )
        if name == "printk.devkmsg" and value == "off":
            raise UserError(f"`{shown}` keeps the toolkit's marks out of the log", hint=_HINT)
        if name == "ignore_loglevel":
            ignored = True
        elif name == "printk.ignore_loglevel":
            ignored = (value or "y")[:1] in ("y", "Y", "1", "o", "t", "T")
        elif (found := _level(name, value)) is not None:
            level, source = found, shown
    if level < NEEDED and not ignored:
        raise UserError(
            f"`{source}` keeps {missing(level)} off the console",
            hint=f"{_HINT}, or add ignore_loglevel",
        )


def _level(name: str, value: str | None) -> int | None:
    """Return the console_loglevel that a parameter sets, or None for any other parameter."""
    if name == "quiet":
        return _QUIET
    if name == "debug" and value is None:
        return 10  # CONSOLE_LOGLEVEL_DEBUG
    if name == "loglevel" or re.fullmatch(r"sysctl[./]kernel[./]printk", name):
        return _number(value)
    return None


def _number(value: str | None) -> int | None:
    """Return the number that a value begins with, as get_option() reads it, or None."""
    match = _NUMBER.match(value or "")
    if not match:
        return None
    text = match[0]
    return int(text, 0 if "x" in text.lower() else 8 if text.lstrip("-").startswith("0") else 10)


def missing(level: int) -> str:
    """Return in words what a console_loglevel keeps off the console."""
    first = LEVELS[min(max(level, 0), LOWEST)]
    return f"messages of KERN_{first} and below" if first != LEVELS[-1] else f"KERN_{first}"
