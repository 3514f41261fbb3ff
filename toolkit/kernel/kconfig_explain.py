"""Why Kconfig dropped an option: its unmet dependencies, read from the Kconfig files.

A reader for the part of the language that carries dependencies (Documentation/kbuild/
kconfig-language.rst): ``config``, ``menuconfig``, ``choice``, ``menu``, ``if``, ``depends on``,
types and prompts, ``source``. It explains and never decides; it leaves out what it cannot read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_TOKEN = re.compile(r"\s*(\|\||&&|!=|<=|>=|=|<|>|!|\(|\)|\"[^\"]*\"|'[^']*'|\$\([^)]*\)|[\w.-]+)")
_SYMBOL = re.compile(r"\b[A-Z0-9][A-Za-z0-9_]*\b")
_LEVELS = {"n": 0, "m": 1, "y": 2}
_ORDERINGS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_BLOCKS = ("menu", "if", "choice")
_TYPES = ("bool", "tristate", "def_bool", "def_tristate", "string", "int", "hex")
_MAX_DEPTH = 40  # of nested source lines: a loop ends here
_MAX_SOURCED = 20_000  # files, each as often as a line names it: Linux 6.12 has 1,700


Read = Callable[[str], str | None]  # the text of a tree's file, None where there is none


@dataclass(slots=True)
class Symbol:
    """Every place that defines one symbol, each with the conditions that guard it."""

    places: list[list[str]] = field(default_factory=list)
    type: str = ""  # bool, tristate …
    prompt: bool = False  # whether anybody can set it, and not just other symbols


@dataclass(slots=True)
class _Reader:
    text: Read
    srcarch: str
    symbols: dict[str, Symbol] = field(default_factory=dict)
    guards: list[list[str]] = field(default_factory=list)  # one list for each open block
    sourced: int = 0

    def read(self, name: str, depth: int = 0) -> None:
        path = PurePosixPath(name.replace("$(SRCARCH)", self.srcarch))
        outside = path.is_absolute() or ".." in path.parts
        self.sourced += 1
        if outside or "$(" in str(path) or depth > _MAX_DEPTH or self.sourced > _MAX_SOURCED:
            return
        text = self.text(str(path))
        if text is None:
            return
        current: list[str] | None = None
        symbol: Symbol | None = None
        help_indent: int | None = None
        for line in _joined(text):
            indent = len(line) - len(line.lstrip())
            words = line.split("#", 1)[0].split(None, 1)
            if help_indent is not None and line.strip():
                # A help text ends at the first line indented less than its own first one.
                help_indent = help_indent or indent
                if help_indent and indent >= help_indent:
                    continue
                help_indent = None
            if not words:
                continue
            word, rest = words[0], (words[1].strip() if len(words) > 1 else "")
            if word in ("help", "---help---"):
                help_indent = 0  # that of its first line, once it came
            elif word in ("config", "menuconfig"):
                current = [guard for block in self.guards for guard in block]
                symbol = self.symbols.setdefault(rest, Symbol())
                symbol.places.append(current)
            elif word in _BLOCKS:
                current, symbol = ([rest] if word == "if" else []), None
                self.guards.append(current)
            elif word.removeprefix("end") in _BLOCKS and word.startswith("end"):
                if self.guards:
                    self.guards.pop()
                current = symbol = None
            elif word in _TYPES and symbol:
                symbol.type = word.removeprefix("def_")
                symbol.prompt |= rest.startswith(('"', "'"))
            elif word == "prompt" and symbol:
                symbol.prompt = True
            elif word == "depends" and rest.startswith("on ") and current is not None:
                current.append(rest.removeprefix("on ").strip())
            elif word == "source":
                self.read(rest.strip("\"'"), depth + 1)


def _joined(text: str) -> Iterator[str]:
    """Yield the lines of a Kconfig file, continued ones joined, tabs as eight blanks."""
    yield from text.replace("\\\n", " ").expandtabs(8).splitlines()


def unmet(
    tree: Path, srcarch: str, config: Mapping[str, str], option: str, wanted: str = "y"
) -> str:
    """Return in words why ``option`` (CONFIG_…) is not ``wanted``, or "" where that is not known.

    ``config`` is the final configuration. A dependency that is met is not mentioned.
    """
    return reasons(tree, srcarch, config, {option: wanted})[option]


def reasons(
    tree: Path, srcarch: str, config: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    """Return :func:`unmet` for each option of ``wanted``; reads the Kconfig files once."""
    known = symbols(below(tree), srcarch) if wanted else {}
    return {option: _unmet(known, config, option, value) for option, value in wanted.items()}


def dependencies(tree: Path, srcarch: str) -> dict[str, frozenset[str]]:
    """Return the options (CONFIG_…) in each option's dependencies, its menus' among them."""
    return {
        f"CONFIG_{name}": frozenset(
            f"CONFIG_{word}"
            for guards in symbol.places
            for guard in guards
            for word in _SYMBOL.findall(guard)
        )
        for name, symbol in symbols(below(tree), srcarch).items()
    }


def symbols(text: Read, srcarch: str) -> dict[str, Symbol]:
    """Return the symbols of a tree by name, without CONFIG_; ``text`` reads its files."""
    reader = _Reader(text, srcarch)
    reader.read("Kconfig")
    return reader.symbols


def below(tree: Path) -> Read:
    """Return what reads the files of a tree that lies on the disk."""

    def text(name: str) -> str | None:
        path = tree / name
        return path.read_text(errors="replace") if path.is_file() else None

    return text


def failing(guards: Sequence[str], config: Mapping[str, str], wanted: str) -> list[str]:
    """Return the parts of a place's conditions that keep a symbol from being ``wanted``."""
    needed = _LEVELS["m" if wanted == "m" else "y"]
    return [
        part
        for guard in guards
        for part in split(guard)
        if (value := _value(part, config)) is not None and value < needed
    ]


def _unmet(known: Mapping[str, Symbol], config: Mapping[str, str], option: str, wanted: str) -> str:
    symbol = known.get(option.removeprefix("CONFIG_"))
    if symbol is None:
        return "no Kconfig file of this kernel defines it"
    reasons = []
    for guards in symbol.places:
        parts = failing(guards, config, wanted)
        if not parts:
            return ""  # this place allows it: it was dropped for another reason
        reasons.append(" and ".join(dict.fromkeys(_with_values(part, config) for part in parts)))
    return "it depends on " + ", or on ".join(dict.fromkeys(reasons)) if reasons else ""


def split(expression: str) -> list[str]:
    """Split an expression at its top-level ``&&``."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"\(|\)|&&", expression):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if match[0] == "&&" and depth == 0:
            parts.append(expression[start : match.start()].strip())
            start = match.end()
    return [*parts, expression[start:].strip()]


def _with_values(part: str, config: Mapping[str, str]) -> str:
    names = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]*\b", part))
    state = ", ".join(f"{name}={config.get('CONFIG_' + name, 'n')}" for name in names)
    return f"{part} ({state})" if state else part


def _value(expression: str, config: Mapping[str, str]) -> int | None:
    """Return 0, 1 or 2 for n, m or y; None for what this reader does not understand."""
    expression = expression.rstrip()
    tokens, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            return None
        tokens.append(match[1])
        position = match.end()
    try:
        return _Expression(tokens, config).disjunction()
    except (IndexError, ValueError, RecursionError):
        return None


@dataclass(slots=True)
class _Expression:
    """Recursive descent over the grammar of kconfig-language.rst, menu dependencies."""

    tokens: list[str]
    config: Mapping[str, str]
    at: int = 0

    def _take(self, *wanted: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def disjunction(self) -> int:
        value = self.conjunction()
        while self._take("||"):
            value = max(value, self.conjunction())
        return value

    def conjunction(self) -> int:
        value = self.factor()
        while self._take("&&"):
            value = min(value, self.factor())
        return value

    def factor(self) -> int:
        if self._take("!"):
            return 2 - self.factor()
        if self._take("("):
            value = self.disjunction()
            if not self._take(")"):
                raise ValueError("unbalanced parenthesis")
            return value
        left = self._word()
        if sign := self._take("=", "!="):
            return 2 * ((left == self._word()) == (sign == "="))
        if sign := self._take("<", ">", "<=", ">="):
            one, other = int(left), int(self._word())
            return 2 * _ORDERINGS[sign](one, other)
        return _LEVELS.get(left, 0)

    def _word(self) -> str:
        token = self.tokens[self.at]
        self.at += 1
        if token.startswith("$("):
            raise ValueError("macros are not evaluated")
        if token in _LEVELS or token.isdecimal():
            return token
        if token[0] in "\"'":
            return token.strip("\"'")
        return self.config.get("CONFIG_" + token, "n").strip('"')
