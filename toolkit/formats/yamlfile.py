"""Reads a YAML file into plain data that remembers its lines.

The dialect is YAML without its surprises: only ``true`` and ``false`` are booleans, ``6.12``
and dates stay text (6.10 is not 6.1), every key is text, and there are no aliases and no tags.
Apart from :mod:`toolkit.formats.manifest` since a listing needs no pydantic, whose import takes
longer than the listing.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import nodes

from toolkit.core import files
from toolkit.core.errors import UserError

MAX_BYTES = 1 << 20  # such a file is written by hand; more than this is something else
MAX_DEPTH = 100  # libyaml's composer calls itself in C: unbounded, a file could overrun the stack

_UTF_8 = "save it as UTF-8"
_TAB = "indent with spaces: YAML takes no tabs there"
_CORE = "tag:yaml.org,2002:"
_TRUE = ("true", "True", "TRUE")

Location = tuple[int | str, ...]

# libyaml takes a fifth of the time, but not every PyYAML comes with it.
_Base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's safe loader, with fewer kinds of scalar."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML fills it for the class


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"0|-?[1-9][0-9]{0,17}", list("-0123456789")),
):
    _Loader.add_implicit_resolver(_CORE + _kind, re.compile(f"(?:{_pattern})\\Z"), _first)


@dataclass(frozen=True)
class YamlFile:
    """The plain data of a file whose top level is a mapping, and where each part stands."""

    origin: str
    data: dict[str, Any]
    root: nodes.MappingNode

    def line(self, location: Location) -> int:
        """Return the line, from 1, of the key at ``location``, or of what would hold it."""
        place = node = self.root
        for step in location:
            if isinstance(node, nodes.MappingNode):
                for key, value in node.value:
                    if key.value == str(step):
                        place, node = key, value
                        break
            elif isinstance(node, nodes.SequenceNode) and step in range(len(node.value)):
                place = node = node.value[step]
        return int(place.start_mark.line) + 1


def read(path: Path) -> YamlFile:
    """Read the file ``path``; raise :class:`UserError` with line and column for any fault in it."""
    try:
        content = files.content(path, MAX_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return parse(content, str(path))


def parse(content: bytes, origin: str) -> YamlFile:
    """Do what :func:`read` does with a file's bytes; ``origin`` is its name in errors."""
    if len(content) > MAX_BYTES:
        raise UserError(f"{origin} is larger than {MAX_BYTES >> 20} MiB")
    if b"\0" in content[:2]:  # a character of ASCII in UTF-16 or UTF-32
        raise UserError(f"{origin} is not UTF-8 text (byte 0)", hint=_UTF_8)
    try:
        root = _compose(content.decode(), origin)
        if root is None:
            raise UserError(f"{origin} is empty")
        if not isinstance(root, nodes.MappingNode):
            raise UserError(f"{origin}: the top level is not made of `key: value` lines")
        return YamlFile(origin, _mapping(root), root)
    except UnicodeDecodeError as error:
        raise UserError(f"{origin} is not UTF-8 text (byte {error.start})", hint=_UTF_8) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = ", ".join(text for text in (error.context, error.problem) if text)
        hint = _TAB if mark and _indented_by_tab(content, mark.line) else ""
        raise UserError(f"{origin}{place}: {problem}", hint=hint) from error
    except ValueError as error:  # libyaml takes "\U00110000", and Python has no such character
        raise UserError(f"{origin}: {error}", hint="write a character that is one") from error
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: {str(error).splitlines()[0]}") from error


def _indented_by_tab(content: bytes, line: int) -> bool:
    lines = content.splitlines()
    return line < len(lines) and b"\t" in lines[line][: -len(lines[line].lstrip()) or None]


def _compose(text: str, origin: str) -> nodes.Node | None:
    """Return the root of ``text``, None when it is empty, once its events are seen to be harmless.

    Newer releases of libyaml refuse what is nested deeply, in words of their own and maybe before
    the first event. PyYAML's own parser does not, and so tells whether it is too deep.
    """
    try:
        _check_events(text, _Loader, origin)
        return yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError:
        with contextlib.suppress(yaml.YAMLError):
            _check_events(text, yaml.SafeLoader, origin)
        raise


def _check_events(text: str, loader: Any, origin: str) -> None:
    """Refuse aliases, and what is nested deeper than MAX_DEPTH."""
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise _refuse(event.start_mark, "aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"{origin} is nested too deeply")


def _refuse(mark: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _check_text(node: nodes.ScalarNode) -> None:
    if "\0" in node.value:  # no file's name, no word of a command and no kernel option has one
        raise _refuse(node.start_mark, "a NUL character is not allowed")


def _mapping(node: nodes.MappingNode) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, nodes.ScalarNode):
            raise _refuse(key.start_mark, "a key must be plain text")
        _check_text(key)
        if key.value in data:
            raise _refuse(key.start_mark, f"key {key.value!r} is given twice")
        data[key.value] = _plain(value)
    return data


def _plain(node: nodes.Node) -> Any:
    kind = node.tag.removeprefix(_CORE)
    if isinstance(node, nodes.MappingNode) and kind == "map":
        return _mapping(node)
    if isinstance(node, nodes.SequenceNode) and kind == "seq":
        return [_plain(item) for item in node.value]
    if isinstance(node, nodes.ScalarNode):
        match kind:
            case "str":
                _check_text(node)
                return node.value
            case "null":
                return None
            case "bool":
                return node.value in _TRUE
            case "int" if re.fullmatch(r"-?[0-9]{1,18}", node.value):
                return int(node.value)
    raise _refuse(node.start_mark, f"tag {node.tag!r} is not allowed")
