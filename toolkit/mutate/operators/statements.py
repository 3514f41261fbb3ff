"""Statements and calls that are forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.mutate.grammar import Node, text
from toolkit.mutate.operators.edit import Edit, Operator, callee, instead_of, operator

_CALL = "call-dropped"
# A call belongs to the first of these whose pattern is in the callee's name.
_CALLS = {
    "barrier-dropped": (
        "a memory barrier is forgotten",
        re.compile(r"^(smp_|virt_|dma_)?(r|w)?mb$|^barrier|^smp_(mb__|store|load|acquire)"),
    ),
    "list-dropped": (
        "something is not put on a list or tree, or stays there",
        re.compile(r"^(h|l)?list_|^rb_|^(xa|idr|ida|maple|mas)_"),
    ),
    "rcu-dropped": (
        "a grace period is not waited for, a read-side lock of RCU is forgotten",
        re.compile(r"synchronize_|^s?rcu_|_s?rcu(_|$)"),
    ),
    "lock-dropped": (
        "a lock is not taken, or not released",
        re.compile(r"(^|_)(un)?lock(ed|_|$)|^(down|up)(_read|_write|$)|trylock"),
    ),
    "reference-dropped": (
        "a reference is not taken, or not given back",
        re.compile(r"(^|_)(fd?)?(put|get|ref|unref|refcount|kref|grab)(_|$)"),
    ),
    "free-dropped": (
        "something is never freed, destroyed or unregistered",
        re.compile(r"free|destroy|release|unregister|deregister|(^|_)(del|remove|close|fini|exit)"),
    ),
    _CALL: ("any other call is forgotten", re.compile("")),
}
_UNUSED_VALUE = ("identifier", "number_literal", "field_expression")


def kind_of_call(name: str) -> str:
    """Return the operator that drops calls of ``name``."""
    return next(kind for kind, (_, pattern) in _CALLS.items() if pattern.search(name))


def nothing(node: Node) -> str:
    """Return what stands for no statement in the place of ``node``."""
    return "" if node.parent is not None and node.parent.type == "compound_statement" else ";"


def _expression(node: Node) -> Node | None:
    """Return the expression of an expression statement; None for a lone semicolon."""
    return node.named_children[0] if node.named_child_count else None


def _dropping(name: str, meaning: str) -> Operator:
    @operator(name, meaning, "expression_statement")
    def find(node: Node) -> Iterator[Edit]:
        expression = _expression(node)
        if expression is None or expression.type != "call_expression":
            return
        called = callee(expression)
        if (called and kind_of_call(called) == name) or (not called and name == _CALL):
            yield instead_of(node, nothing(node))

    return find


@operator(
    "statement-dropped", "an assignment or another statement is forgotten", "expression_statement"
)
def statement_dropped(node: Node) -> Iterator[Edit]:
    """Nothing for ``x = y;`` or ``x++;``."""
    expression = _expression(node)
    if expression is None or expression.type in ("call_expression", *_UNUSED_VALUE):
        return
    if text(node).strip() != ";":
        yield instead_of(node, nothing(node))


OPERATORS = (
    *(_dropping(name, meaning) for name, (meaning, _) in _CALLS.items()),
    statement_dropped,
)
