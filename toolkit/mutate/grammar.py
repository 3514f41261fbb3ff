"""C as a tree of nodes, by tree-sitter's grammar.

The kernel's C has macros that are no C by themselves (``list_for_each_entry()`` and its body,
``__init`` before a name). The grammar recovers from each where it stands, and whoever looks at a
node asks :func:`sound` whether it may be believed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import tree_sitter_c
from tree_sitter import Language, Node, Parser

__all__ = [
    "Node",
    "ancestor",
    "body",
    "function_name",
    "function_of",
    "functions",
    "lines",
    "parse",
    "sound",
    "text",
    "walk",
]

# SYSCALL_DEFINE3(), BPF_CALL_2(): what stands for the head of a function.
_HEAD = re.compile(r"[A-Z][A-Z0-9_]+")

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
    """Yield the functions of a file, but for those deep in others.

    A macro with several arguments for a head (``SYSCALL_DEFINE3()``) is a call to the grammar, and
    what follows it a block: then the block is the function.
    """
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if node.type == "function_definition" or _head(node):
            yield node
        if depth < _MAX_DEPTH:
            pending += ((child, depth + 1) for child in reversed(node.named_children))


def _head(node: Node) -> Node | None:
    """Return the macro call before a block that is a function."""
    if node.type != "compound_statement" or not _is_outside(node):
        return None
    before = node.prev_named_sibling
    while before is not None and before.type == "comment":
        before = before.prev_named_sibling
    if (
        before is None
        or before.type != "expression_statement"
        or not before.children[-1].is_missing
    ):
        return None
    call = before.children[0]
    name = call.child_by_field_name("function") if call.type == "call_expression" else None
    return call if name is not None and _HEAD.fullmatch(text(name)) else None


def _is_outside(node: Node) -> bool:
    """Return whether nothing but conditions of the preprocessor is around a node."""
    above = node.parent
    while above is not None and above.type.startswith("preproc_"):
        above = above.parent
    return above is not None and above.type == "translation_unit"


def body(function: Node) -> Node | None:
    """Return the block of a function, None where the grammar does not see one."""
    return function if _head(function) else function.child_by_field_name("body")


def lines(function: Node) -> tuple[int, int]:
    """Return the numbers of a function's first and last line."""
    first = _head(function) or function
    return first.start_point.row + 1, function.end_point.row + 1


def function_name(function: Node) -> str:
    """Return the name of a function, "" where the grammar does not see one.

    That of a system call is the first argument of its macro.
    """
    if head := _head(function):
        arguments = head.child_by_field_name("arguments")
        return text(arguments.named_children[0]) if arguments and arguments.named_children else ""
    node = function.child_by_field_name("declarator")
    while node is not None and node.type != "identifier":
        if node.type == "parenthesized_declarator" and node.named_child_count:
            node = node.named_children[0]  # of SYSCALL_DEFINE0(NAME)
        else:
            node = node.child_by_field_name("declarator")
    return text(node) if node else ""


def function_of(node: Node) -> Node | None:
    """Return the function that a node is in."""
    above: Node | None = node
    while above is not None and above.type != "function_definition" and not _head(above):
        above = above.parent
    return above


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
