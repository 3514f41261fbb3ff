"""Faults in the way through a function."""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.mutate import grammar
from toolkit.mutate.grammar import Node, ancestor, text, walk
from toolkit.mutate.operators.edit import Edit, field, instead_of, operator
from toolkit.mutate.operators.values import is_error

_LOOPS = ("while_statement", "do_statement", "for_statement")
_PRINTS = re.compile(r"\b(pr_\w+|printk\w*|dev_\w+|kvm_\w*pr_\w+|WARN\w*)\s*\(")
_ERROR_LABEL = re.compile(r"err|fail|out|unlock|free|put|undo|unwind", re.I)
PRINTK = 'printk(KERN_ERR "mutant\\n");'


@operator(
    "early-return",
    "a function returns before it does anything",
    "function_definition",
    "compound_statement",
)
def early_return(node: Node) -> Iterator[Edit]:
    """``return 0;`` as the first statement of a function."""
    body = grammar.body(node)
    if body is None or not text(body).startswith("{"):
        return
    if len([each for each in body.named_children if each.type != "comment"]) < 1:
        return
    at = body.start_byte + 1
    yield Edit(at, at, f" return{'' if _returns_nothing(node) else ' 0'};")


def _returns_nothing(function: Node) -> bool:
    type_ = function.child_by_field_name("type")
    declarator = function.child_by_field_name("declarator")
    pointer = declarator is not None and declarator.type == "pointer_declarator"
    return type_ is not None and text(type_) == "void" and not pointer


@operator("return-value", "0 is returned in place of what was worked out", "return_statement")
def return_value(node: Node) -> Iterator[Edit]:
    """``return 0;`` for ``return x;``, ``return false;`` for ``return true;``."""
    value = node.named_children[0] if node.named_child_count else None
    if value is None or value.type == "number_literal" or is_error(value):
        return
    opposite = {"true": "false", "false": "true", "NULL": ""}.get(text(value), "0")
    if opposite:
        yield instead_of(value, opposite)


@operator("goto-label", "goto jumps to the label next to its own", "goto_statement")
def goto_label(node: Node) -> Iterator[Edit]:
    """The label after the one that is meant, or before the last one."""
    function = grammar.function_of(node)
    label = field(node, "label")
    names = [
        text(field(each, "label"))
        for each in walk(function or node)
        if each.type == "labeled_statement"
    ]
    if text(label) not in names or len(set(names)) < 2:
        return
    at = names.index(text(label))
    yield instead_of(label, names[at + 1] if at + 1 < len(names) else names[at - 1])


@operator("loop-jump", "break for continue in a loop", "break_statement", "continue_statement")
def loop_jump(node: Node) -> Iterator[Edit]:
    """``break`` for ``continue``, and back.

    Where neither loop nor switch is around it, the loop is a macro's: list_for_each_entry().
    """
    around = ancestor(node, *_LOOPS, "switch_statement")
    if node.type == "continue_statement":
        yield instead_of(node, "break;")
    elif around is None or around.type != "switch_statement":
        yield instead_of(node, "continue;")


@operator(
    "case-dropped", "a value that a switch looks for goes the way of others", "case_statement"
)
def case_dropped(node: Node) -> Iterator[Edit]:
    """No ``case X:`` or ``default:``: what is behind it is for the case before, or for nobody."""
    colon = next((each for each in node.children if each.type == ":"), None)
    if colon is not None:
        yield Edit(node.start_byte, colon.end_byte, "")


@operator("break-dropped", "a case of a switch goes on into the next one", "break_statement")
def break_dropped(node: Node) -> Iterator[Edit]:
    """No ``break;`` at the end of a case that is not the last."""
    around = ancestor(node, *_LOOPS, "case_statement")
    if around is None or around.type != "case_statement" or around.next_named_sibling is None:
        return
    yield instead_of(node, "" if node.parent == around else ";")


@operator(
    "error-printed",
    "an error that user space can cause is printed to the kernel's log",
    "return_statement",
    "goto_statement",
)
def error_printed(node: Node) -> Iterator[Edit]:
    """A printk before ``return -EINVAL;``, and before a goto that leaves with an error."""
    if node.type == "return_statement":
        value = node.named_children[0] if node.named_child_count else None
        leaves = value is not None and is_error(value)
    else:
        label = text(field(node, "label"))
        leaves = bool(_ERROR_LABEL.search(label)) and ancestor(node, "if_statement") is not None
    above = node.parent
    if leaves and above is not None and not _PRINTS.search(text(above)):
        yield instead_of(node, f"{{ {PRINTK} {text(node)} }}")


OPERATORS = (
    early_return,
    return_value,
    goto_label,
    loop_jump,
    case_dropped,
    break_dropped,
    error_printed,
)
