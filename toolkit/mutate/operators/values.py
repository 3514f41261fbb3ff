"""Values that are taken for others: error codes, flags, constants, arguments."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from toolkit.mutate.grammar import Node, ancestor, text
from toolkit.mutate.operators.edit import Edit, callee, field, instead_of, operator, sign

_ERROR = re.compile(r"E[A-Z0-9]{2,}")
_OTHER_ERROR = {"EINVAL": "EFAULT", "EFAULT": "EINVAL", "ENOMEM": "ENOSPC", "EEXIST": "EBUSY"}
_GFP = {
    "GFP_KERNEL": "GFP_ATOMIC",
    "GFP_KERNEL_ACCOUNT": "GFP_ATOMIC",
    "GFP_ATOMIC": "GFP_KERNEL",
    "GFP_NOWAIT": "GFP_KERNEL",
}
_ARITHMETIC = {"+": "-", "-": "+", "<<": ">>", ">>": "<<", "+=": "-=", "-=": "+="}
# Such as a compiler takes: 08 and numbers beyond 64 bits stand in code that none sees.
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,19})([uUlL]*)")
_SIMPLE = ("identifier", "field_expression", "pointer_expression", "subscript_expression")
# Macros whose arguments are names, types or formats rather than values.
_NO_FUNCTION = re.compile(r"container_of|offsetof|_entry\w*$|printk|^pr_|for_each|^(BUILD_)?BUG")


def is_error(value: Node) -> bool:
    """Return whether an expression is a negative error code, bare or in ERR_PTR()."""
    if value.type == "call_expression" and callee(value) == "ERR_PTR":
        arguments = field(value, "arguments").named_children
        return len(arguments) == 1 and is_error(arguments[0])
    return (
        value.type == "unary_expression"
        and sign(value) == "-"
        and bool(_ERROR.fullmatch(text(field(value, "argument"))))
    )


@operator("error-code", "another error code is returned", "unary_expression")
def error_code(node: Node) -> Iterator[Edit]:
    """``-EFAULT`` for ``-EINVAL``, ``-EINVAL`` for most others."""
    if is_error(node):
        name = field(node, "argument")
        yield instead_of(name, _OTHER_ERROR.get(text(name), "EINVAL"))


@operator("constant", "a number is off by one", "number_literal")
def constant(node: Node) -> Iterator[Edit]:
    """``2`` for ``1``."""
    if ancestor(node, "array_declarator", "bitfield_clause", "enumerator") is not None:
        return
    if match := _NUMBER.fullmatch(text(node)):
        digits, suffix = match.groups()
        octal = len(digits) > 1 and digits.isdecimal() and digits.startswith("0")
        number = int(digits, 8 if octal else 0) + 1
        changed = f"0{number:o}" if octal else f"{number:{'#x' if 'x' in digits.lower() else 'd'}}"
        yield instead_of(node, changed + suffix)


@operator("gfp", "GFP_ATOMIC for GFP_KERNEL, or back", "identifier")
def gfp(node: Node) -> Iterator[Edit]:
    """``GFP_KERNEL`` for ``GFP_ATOMIC``, and back."""
    if other := _GFP.get(text(node)):
        yield instead_of(node, other)


@operator("flag-dropped", "a bit of a mask is forgotten", "binary_expression")
def flag_dropped(node: Node) -> Iterator[Edit]:
    """``A`` or ``B`` for ``A | B``, ``x`` for ``x & ~A``."""
    right = field(node, "right")
    if sign(node) == "|":
        for name in ("left", "right"):
            yield instead_of(node, text(field(node, name)))
    elif sign(node) == "&" and right.type == "unary_expression" and sign(right) == "~":
        yield instead_of(node, text(field(node, "left")))


@operator("arguments-swapped", "two arguments of one type change places", "argument_list")
def arguments_swapped(node: Node) -> Iterator[Edit]:
    """``f(b, a)`` for ``f(a, b)``; the compiler says whether they are of one type."""
    call = node.parent
    if call is None or _NO_FUNCTION.search(callee(call)):
        return
    arguments = [each for each in node.named_children if each.type != "comment"]
    for one, other in itertools.pairwise(arguments):
        a, b = text(one), text(other)
        if a == b or one.type not in _SIMPLE or other.type not in _SIMPLE:
            continue
        whole = (node.text or b"")[
            one.end_byte - node.start_byte : other.start_byte - node.start_byte
        ]
        between = whole.decode(errors="surrogateescape")
        same = f"__builtin_types_compatible_p(typeof({a}), typeof({b}))"
        yield Edit(
            one.start_byte,
            other.end_byte,
            f"{b}{between}{a}",
            guarded=f"((void)sizeof(char[{same} ? 1 : -1]), {b}){between}{a}",
        )


@operator(
    "arithmetic",
    "+ for -, << for >>, ++ for --",
    "binary_expression",
    "assignment_expression",
    "update_expression",
)
def arithmetic(node: Node) -> Iterator[Edit]:
    """``+`` for ``-``, ``<<`` for ``>>``, ``++`` for ``--``, and back."""
    at = field(node, "operator")
    other = {"++": "--", "--": "++"}.get(text(at)) or _ARITHMETIC.get(text(at))
    if other:
        yield instead_of(at, other)


OPERATORS = (error_code, constant, gfp, flag_dropped, arguments_swapped, arithmetic)
