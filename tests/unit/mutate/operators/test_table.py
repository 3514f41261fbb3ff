"""What each operator makes of C: tests/data/mutate/operators.diff has one mutant of each.

``python -m tests.unit.mutate.operators.test_table`` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.mutate import mutants
from toolkit.mutate.operators.statements import kind_of_call
from toolkit.mutate.operators.table import MEANINGS, OPERATORS

DATA = Path(__file__).parents[3] / "data/mutate"
NAMES = [each.name for each in OPERATORS]


class Everything:
    """A series that wrote every line."""

    def patch_of(self, file: str, number: int) -> int:
        return 1


def of(code: str, *names: str) -> list[tuple[str, str]]:
    """Return the places that operators of these names change, and what stands there then."""
    found = mutants.of_file("a.c", code.encode(), Everything())
    return [(each.original, each.replacement) for each in found if each.operator in names]


def in_function(body: str, *names: str) -> list[tuple[str, str]]:
    return of(f"int f(struct a *a, int n)\n{{\n{body}\n}}\n", *names)


def golden() -> str:
    """Return the first mutant of each operator in the sample, as diffs."""
    content = (DATA / "sample.c").read_bytes()
    found = mutants.of_file("sample.c", content, Everything())
    parts = []
    for operator in OPERATORS:
        mutant = next(each for each in found if each.operator == operator.name)
        changed = {"sample.c": mutants.mutated(content, mutant)}
        head = f"# {operator.name}: {operator.meaning} ({mutant.function}, line {mutant.line})"
        parts += [head, *mutants.diff({"sample.c": content}, changed, context=1)[2:]]
    return "\n".join(parts) + "\n"


def test_one_mutant_of_each_operator_is_what_the_golden_file_has() -> None:
    assert golden() == (DATA / "operators.diff").read_text()


def test_operators_have_names_of_their_own_and_say_what_they_do() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(MEANINGS[name] for name in NAMES)


@pytest.mark.parametrize(
    ("body", "name", "gives"),
    [
        ("if (n < 3) g();", "boundary", [("<", "<=")]),
        ("if (n == 3) g();", "equality", []),  # condition-negated has it
        ("if (n == 3) g();", "condition-negated", [("==", "!=")]),
        ("if (n == 3 && a) g();", "equality", [("==", "!=")]),
        ("if (!a) g();", "condition-negated", [("!a", "a")]),
        ("n = a ? 1 : 2;", "condition-negated", [("a", "!(a)")]),
        ("for (;;) g();", "condition-dropped", []),
        ("for (; n < 3;) g();", "condition-dropped", [("n < 3", "0")]),
        ("do g(); while (0);", "condition-dropped", []),
        ("if (a) g();", "call-dropped", [("g();", ";")]),
        ("g();", "call-dropped", [("g();", "")]),
        ("a->ops->g(a);", "call-dropped", [("a->ops->g(a);", "")]),
        ("n = g();", "statement-dropped", [("n = g();", "")]),
        (";", "statement-dropped", []),
        ("return -EINVAL;", "return-value", []),
        ("return 0;", "return-value", []),
        ("return true;", "return-value", [("true", "false")]),
        ("return n;", "return-value", [("n", "0")]),
        ("return ERR_PTR(-ENOENT);", "error-code", [("ENOENT", "EINVAL")]),
        ("n = -n;", "error-code", []),
        ("n = 0x1fUL;", "constant", [("0x1fUL", "0x20UL")]),
        ("n = 0644;", "constant", [("0644", "0645")]),
        ("n = 07;", "constant", [("07", "010")]),
        ("n = 08;", "constant", []),
        (f"n = {'9' * 5000};", "constant", []),
        ("int x[4]; g(x);", "constant", []),
        (
            "n = a | 1 | 2;",
            "flag-dropped",
            [("a | 1 | 2", "a | 1"), ("a | 1 | 2", "2"), ("a | 1", "a"), ("a | 1", "1")],
        ),
        ("n &= ~1;", "flag-dropped", []),
        ("for (;;) { switch (n) { case 1: break; } }", "loop-jump", []),
        ("for (;;) { if (n) break; }", "loop-jump", [("break;", "continue;")]),
        (
            "if (n) return -EINVAL;",
            "error-printed",
            [("return -EINVAL;", '{ printk(KERN_ERR "mutant\\n"); return -EINVAL; }')],
        ),
        ('if (n) { pr_err("x"); return -EINVAL; }', "error-printed", []),
        ("goto out;\nout:\n return n;", "goto-label", []),  # there is no other
        ("goto x;\nx:\n g();\ny:\n return n;", "goto-label", [("x", "y")]),
        ("goto y;\nx:\n g();\ny:\n return n;", "goto-label", [("y", "x")]),
        ("g(a->x, a->x);", "arguments-swapped", []),
        ("g(a->x, n);", "arguments-swapped", [("a->x, n", "n, a->x")]),
        ("p = container_of(a, struct b, a);", "arguments-swapped", []),
    ],
)
def test_operators_find_their_places(body: str, name: str, gives: list[tuple[str, str]]) -> None:
    assert sorted(in_function(body, name)) == sorted(gives)


@pytest.mark.parametrize(
    ("body", "name", "gives"),
    [
        ("switch (n) { case 1: case 2: g(); }", "case-dropped", [("case 1:", ""), ("case 2:", "")]),
        (
            "switch (n) { case A(1): g(); default: h(); }",
            "case-dropped",
            [("case A(1):", ""), ("default:", "")],
        ),
        ("switch (n) { case 1: g(); break; default: break; }", "break-dropped", [("break;", "")]),
        (
            "switch (n) { case 1: if (a) break; g(); case 2: h(); }",
            "break-dropped",
            [("break;", ";")],
        ),
        ("switch (n) { case 1: for (;;) break; case 2: h(); }", "break-dropped", []),
        ("for (;;) { if (n) break; }", "break-dropped", []),
    ],
)
def test_operators_find_their_places_in_a_switch(
    body: str, name: str, gives: list[tuple[str, str]]
) -> None:
    assert in_function(body, name) == gives


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("mutex_unlock", "lock-dropped"),
        ("spin_lock_irqsave", "lock-dropped"),
        ("down_read", "lock-dropped"),
        ("block_dev", "call-dropped"),
        ("eventfd_ctx_put", "reference-dropped"),
        ("refcount_inc", "reference-dropped"),
        ("fput", "reference-dropped"),
        ("kfree", "free-dropped"),
        ("kfree_rcu", "rcu-dropped"),
        ("synchronize_srcu_expedited", "rcu-dropped"),
        ("rcu_read_unlock", "rcu-dropped"),
        ("list_del_init", "list-dropped"),
        ("hlist_add_head", "list-dropped"),
        ("list_del_rcu", "list-dropped"),
        ("smp_mb__after_atomic", "barrier-dropped"),
        ("smp_store_release", "barrier-dropped"),
        ("misc_deregister", "free-dropped"),
        ("output", "call-dropped"),
        ("set_budget", "call-dropped"),
    ],
)
def test_a_dropped_call_is_named_for_what_it_does(function: str, kind: str) -> None:
    assert kind_of_call(function) == kind


def test_a_loop_of_a_macro_is_no_call_to_drop() -> None:
    body = "list_for_each_entry(p, &a->list, list) {\n g(p);\n}"
    assert in_function(body, "call-dropped", "list-dropped") == [("g(p);", "")]


def test_a_swap_is_compiled_so_that_only_one_type_will_do() -> None:
    code = b"void f(void)\n{\n\tg(x, y);\n}\n"
    swap = next(
        each
        for each in mutants.of_file("a.c", code, Everything())
        if each.operator == "arguments-swapped"
    )
    assert b"__builtin_types_compatible_p(typeof(x), typeof(y))" in mutants.mutated(
        code, swap, compiled=True
    )
    assert b"g(y, x);" in mutants.mutated(code, swap)


if __name__ == "__main__":
    (DATA / "operators.diff").write_text(golden())
