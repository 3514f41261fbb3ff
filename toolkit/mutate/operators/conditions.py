"""Faults in conditions."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.mutate.grammar import Node, text
from toolkit.mutate.operators.edit import Edit, field, instead_of, operator, sign

_BOUNDARIES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_EQUALITIES = {"==": "!=", "!=": "=="}
_LOGIC = {"&&": "||", "||": "&&"}
_LOOPS = ("while_statement", "do_statement", "for_statement")


def _inner(condition: Node) -> Node:
    """Return a condition without the parentheses that belong to its statement."""
    while condition.type == "parenthesized_expression" and condition.named_child_count == 1:
        inner = condition.named_children[0]
        if inner.type == "comment":
            break
        condition = inner
    return condition


def _is_whole(node: Node) -> bool:
    """Return whether an expression is all of the condition of an if or a ?:."""
    above = node.parent
    while above is not None and above.type == "parenthesized_expression":
        node, above = above, above.parent
    if above is None or above.type not in ("if_statement", "conditional_expression"):
        return False
    return above.child_by_field_name("condition") == node


@operator("boundary", "a comparison is off by its boundary: < for <=", "binary_expression")
def boundary(node: Node) -> Iterator[Edit]:
    """``<`` for ``<=``, ``>`` for ``>=``, and back."""
    if other := _BOUNDARIES.get(sign(node)):
        yield instead_of(field(node, "operator"), other)


@operator("equality", "== for != inside of a condition", "binary_expression")
def equality(node: Node) -> Iterator[Edit]:
    """``==`` for ``!=``, and back, where that does not negate a whole condition."""
    if (other := _EQUALITIES.get(sign(node))) and not _is_whole(node):
        yield instead_of(field(node, "operator"), other)


@operator(
    "condition-negated",
    "a check is the wrong way round",
    "if_statement",
    "conditional_expression",
)
def negated(node: Node) -> Iterator[Edit]:
    """``if (!x)`` for ``if (x)``."""
    condition = _inner(field(node, "condition"))
    if condition.type == "unary_expression" and sign(condition) == "!":
        yield instead_of(condition, text(_inner(field(condition, "argument"))))
    elif sign(condition) in _EQUALITIES:
        yield instead_of(field(condition, "operator"), _EQUALITIES[sign(condition)])
    else:
        yield instead_of(condition, f"!({text(condition)})")


@operator(
    "condition-dropped",
    "a check is not made, a loop is not entered",
    "if_statement",
    *_LOOPS,
)
def dropped(node: Node) -> Iterator[Edit]:
    """``if (0)`` for ``if (x)``, and the same with a loop."""
    condition = node.child_by_field_name("condition")
    if condition is None:  # for (;;)
        return
    condition = _inner(condition)
    if condition.type != "number_literal":
        yield instead_of(condition, "0")


@operator("operand-dropped", "half of a condition is not checked", "binary_expression")
def operand_dropped(node: Node) -> Iterator[Edit]:
    """``x`` or ``y`` for ``x && y`` and for ``x || y``."""
    if sign(node) in _LOGIC:
        for name in ("left", "right"):
            yield instead_of(node, text(field(node, name)))


@operator("logic", "&& for || in a condition", "binary_expression")
def logic(node: Node) -> Iterator[Edit]:
    """``&&`` for ``||``, and back."""
    if other := _LOGIC.get(sign(node)):
        yield instead_of(field(node, "operator"), other)


OPERATORS = (boundary, equality, negated, dropped, operand_dropped, logic)
