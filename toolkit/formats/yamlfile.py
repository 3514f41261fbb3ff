"""Reads a YAML file into plain data that remembers its lines.

The dialect is YAML without its surprises: only ``true`` and ``false`` are booleans, ``6.12``
and dates stay text (6.10 is not 6.1), every key is text, and there are no aliases and no tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import nodes
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from toolkit.core.errors import UserError

MAX_BYTES = 1 << 20  # such a file is written by hand; more than this is something else

_CORE = "tag:yaml.org,2002:"
_TRUE = ("true", "True", "TRUE")

Location = tuple[int | str, ...]


class _PurePython(Reader, Scanner, Parser):
    """What finds the parts of a file where PyYAML came without libyaml."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)


# libyaml takes a fifth of the time. Only its parser: its own composer, which is C and calls
# itself, would overrun the stack on a file that is nested deeply enough.
_Parser: Any = (
    yaml.cyaml.CParser  # type: ignore[attr-defined]
    if yaml.__with_libyaml__
    else _PurePython
)


class _Loader(Composer, _Parser, Resolver):  # type: ignore[misc]
    """A parser that knows fewer kinds of scalar, and no aliases."""

    def __init__(self, stream: str) -> None:
        _Parser.__init__(self, stream)
        Composer.__init__(self)
        Resolver.__init__(self)

    def compose_node(self, parent: nodes.Node | None, index: Any) -> nodes.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
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
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return parse(content, str(path))


def parse(content: bytes, origin: str) -> YamlFile:
    """Do what :func:`read` does with a file's bytes; ``origin`` is its name in errors."""
    if len(content) > MAX_BYTES:
        raise UserError(f"{origin} is larger than {MAX_BYTES >> 20} MiB")
    try:
        root = yaml.compose(content.decode(), _Loader)
        if root is None:
            raise UserError(f"{origin} is empty")
        if not isinstance(root, nodes.MappingNode):
            raise UserError(f"{origin}: the top level is not made of `key: value` lines")
        return YamlFile(origin, _mapping(root), root)
    except UnicodeDecodeError as error:
        raise UserError(f"{origin} is not UTF-8 text (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = ", ".join(text for text in (error.context, error.problem) if text)
        raise UserError(f"{origin}{place}: {problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise UserError(f"{origin} is nested too deeply") from error


def _refuse(node: nodes.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _mapping(node: nodes.MappingNode) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, nodes.ScalarNode):
            raise _refuse(key, "a key must be plain text")
        if key.value in data:
            raise _refuse(key, f"key {key.value!r} is given twice")
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
                return node.value
            case "null":
                return None
            case "bool":
                return node.value in _TRUE
            case "int" if re.fullmatch(r"-?[0-9]{1,18}", node.value):
                return int(node.value)
    raise _refuse(node, f"tag {node.tag!r} is not allowed")
