"""C as a tree of nodes, by tree-sitter's grammar.

The kernel's C has macros that are no C by themselves (``list_for_each_entry()`` and its body,
``__init`` before a name). The grammar recovers from each where it stands, and whoever looks at a
node asks :func:`sound` whether it may be believed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import tree_sitter_c
from tree_sitter import Language, Node, Parser

__all__ = ["Node", "ancestor", "function_name", "functions", "parse", "sound", "text", "walk"]


_MAX_DEPTH = 100  # of conditions around a function; where the grammar is lost, it may be in another


def parse(content: bytes) -> Node:
    """Return the root of a C file; anything at all can be parsed, with errors in the tree."""
    return _parser().parse(content).root_node


@functools.cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_c.language()))


def text(node: Node) -> str:
    """Return a node's own text; bytes that are no UTF-8 stay as they are, as surrogates."""
    return (node.text or b"").decode(errors="surrogateescape")


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it that have a name in the grammar, in the file's order."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(node.named_children)


def functions(root: Node) -> Iterator[Node]:
    """Yield the function definitions of a file, but for those deep in others."""
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if node.type == "function_definition":
            yield node
        if depth < _MAX_DEPTH:
            pending += ((child, depth + 1) for child in reversed(node.named_children))


def function_name(function: Node) -> str:
    """Return the name of a function definition, "" where the grammar does not see one."""
    node = function.child_by_field_name("declarator")
    while node is not None and node.type != "identifier":
        node = node.child_by_field_name("declarator")
    return text(node) if node else ""


def ancestor(node: Node, *types: str) -> Node | None:
    """Return the nearest node above ``node`` of one of these types."""
    above = node.parent
    while above is not None and above.type not in types:
        above = above.parent
    return above


def sound(node: Node) -> bool:
    """Return whether the grammar understood all of a node, and its statement to the end.

    A macro that stands for a loop's head looks like a call without its semicolon.
    """
    if node.has_error or node.is_missing:
        return False
    statement = node if node.type == "expression_statement" else None
    statement = statement or ancestor(node, "expression_statement", "compound_statement")
    if statement is None or statement.type == "compound_statement":
        return True
    return not any(child.is_missing for child in statement.children)
