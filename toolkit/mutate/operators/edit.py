"""What an operator is: a name, what it does in a reviewer's words, and where it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolkit.mutate.grammar import Node, text


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of a file, in bytes, and what is to stand there.

    ``guarded`` is compiled instead where it is set: it means the same, and compiles only where the
    two texts are of one type.
    """

    start: int
    end: int
    replacement: str
    guarded: str = ""


Find = Callable[[Node], Iterator[Edit]]


@dataclass(frozen=True, slots=True)
class Operator:
    """A way to make a fault. ``find`` gets each node of one of ``kinds``, and yields its faults."""

    name: str
    meaning: str
    kinds: frozenset[str]
    find: Find


def operator(name: str, meaning: str, *kinds: str) -> Callable[[Find], Operator]:
    """Return a decorator that makes an operator of a function."""
    return lambda find: Operator(name, meaning, frozenset(kinds), find)


def instead_of(node: Node, replacement: str, guarded: str = "") -> Edit:
    """Return the edit that puts ``replacement`` in the place of a whole node."""
    return Edit(node.start_byte, node.end_byte, replacement, guarded)


def field(node: Node, name: str) -> Node:
    """Return a child that the grammar promises."""
    child = node.child_by_field_name(name)
    assert child is not None
    return child


def sign(node: Node) -> str:
    """Return the operator of an expression, "" where it has none."""
    child = node.child_by_field_name("operator")
    return text(child) if child else ""


def callee(node: Node) -> str:
    """Return the name that a call calls, "" where it is no plain name."""
    function = node.child_by_field_name("function")
    return text(function) if function and function.type == "identifier" else ""
