"""Which lines of a series are targets, and what a mutant is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.mutate import grammar, mutants

SAMPLE = Path(__file__).parents[2] / "data/mutate/sample.c"

CONDITIONS = ("a", "!a", "a < 3", "n >= 2 && a", "n == 1 ||\n\t    a->x", "(n & ~MASK)", "f(n, m)")
STATEMENTS = (
    "return -EINVAL;",
    "return n;",
    "n = a | FLAG;",
    "n++;",
    "kfree(a);",
    "call(a->x,\n\t\tn, b[1]);",
    "goto out;",
    "break;",
    "BUILD_BUG_ON(n == 1);",
    'pr_err("héllo %d\\n", 3);',
    "list_for_each_entry(p, &a->list, list) {\n\t\tg(p);\n\t}",
    "scoped_guard(mutex, &a->lock)\n\t\tn += 2;",
    "int x = 3, y[4];",
    "#ifdef CONFIG_X\n\tg(1);\n#endif",
    "/* n = 1; */",
    "if (;",  # no C at all
)


class Only:
    """A series that wrote some lines."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def patch_of(self, file: str, number: int) -> int:
        return 2 if not self.numbers or number in self.numbers else 0


@st.composite
def functions(draw: st.DrawFn) -> bytes:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        body = draw(st.sampled_from(STATEMENTS))
        if draw(st.booleans()):
            word = draw(st.sampled_from(("if", "while", "else if")))
            body = f"{word} ({draw(st.sampled_from(CONDITIONS))})\n\t\t{body}"
        parts.append(f"\t{body}\n")
    head, end = "static int __init f(struct a *a, int n)\n{\n", "out:\n\treturn 0;\n}\n"
    return f"{head}{''.join(parts)}{end}".encode()


@given(functions())
def test_a_mutant_differs_in_the_place_that_it_names_alone_and_applies_back(code: bytes) -> None:
    for mutant in mutants.of_file("a.c", code, Only()):
        changed = mutants.mutated(code, mutant)
        after = len(changed) - len(code) + mutant.end
        assert changed != code
        assert changed[: mutant.start] == code[: mutant.start]
        assert changed[after:] == code[mutant.end :]
        assert mutants.restored(changed, mutant) == code
        assert changed.count(b"\n") == code.count(b"\n")
        assert code[: mutant.start].count(b"\n") + 1 == mutant.line
        assert mutants.mutated(code, mutant, compiled=True).count(b"\n") == code.count(b"\n")


@given(st.binary(max_size=200))
def test_whatever_calls_itself_c_is_read(code: bytes) -> None:
    for mutant in mutants.of_file("a.c", b"int f(void) { " + code, Only()):
        assert mutants.mutated(b"int f(void) { " + code, mutant)


@given(functions())
def test_each_fault_is_there_once_and_has_an_id_of_its_own(code: bytes) -> None:
    found = mutants.of_file("a.c", code, Only())
    assert len({mutants.mutated(code, each) for each in found}) == len(found)
    assert len({each.id for each in found}) == len(found)


def test_a_mutant_of_another_file_is_refused() -> None:
    mutant = mutants.of_file("a.c", b"int f(void) { g(); }", Only())[0]
    with pytest.raises(ValueError, match="does not begin"):
        mutants.restored(b"nothing of it", mutant)


def test_only_lines_that_the_series_wrote_are_targets() -> None:
    code = b"int f(int n)\n{\n\tif (n <\n\t    3)\n\t\tg();\n\treturn n;\n}\n"
    every = mutants.of_file("a.c", code, Only())
    some = mutants.of_file("a.c", code, Only(4, 5))
    assert {each.line for each in some} == {4, 5}
    assert {(each.operator, each.original) for each in some} == {
        ("constant", "3"),
        ("call-dropped", "g();"),
    }  # the condition stands in line 3 as well
    assert len(every) > len(some)
    assert all(each.patch == 2 and each.function == "f" for each in some)


def test_declarations_comments_and_assertions_of_the_build_are_no_targets() -> None:
    code = b"""
#define LIMIT(n) ((n) < 3 ? 1 : 0)
static int limit = 3;
static const struct ops ops = { .open = f, .mode = 0600 };
int g(int n);
/* if (n < 3) return 1; */
int f(int n)
{
	int a[3];
	BUILD_BUG_ON(sizeof(a) < 3);
	static_assert(3 < 4);
	// n = 1;
	return 0;
}
"""
    found = mutants.of_file("a.c", code, Only())
    assert [(each.operator, each.line) for each in found] == [("early-return", 8), ("constant", 13)]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("virt/kvm/eventfd.c", True),
        ("include/linux/kvm_host.h", True),
        ("fs/eventfd.c", True),
        ("include/uapi/linux/kvm.h", False),
        ("arch/x86/include/uapi/asm/kvm.h", False),
        ("tools/testing/selftests/kvm/a.c", False),
        ("lib/tests/list_test.c", False),
        ("drivers/misc/a_kunit.c", False),
        ("Documentation/a.c", False),
        ("scripts/kconfig/conf.c", False),
        ("kernel/Makefile", False),
        ("arch/x86/entry.S", False),
    ],
)
def test_only_c_of_the_kernel_is_a_target(path: str, target: bool) -> None:
    assert mutants.is_target(path) is target


def test_a_diff_shows_what_is_gone_and_no_blank_line_in_its_place() -> None:
    code = SAMPLE.read_bytes()
    dropped = next(
        each for each in mutants.of_file("s.c", code, Only()) if each.operator == "rcu-dropped"
    )
    lines = mutants.diff({"s.c": code}, {"s.c": mutants.mutated(code, dropped)}, context=1)
    assert lines[:2] == ["--- a/s.c", "+++ b/s.c"]
    gone = ["-\tsynchronize_rcu();"]
    assert lines[3:] == [" \tlist_del_rcu(&p->list);", *gone, " \tkfree(p);"]


def test_a_functions_name_is_seen_through_what_is_no_c() -> None:
    root = grammar.parse(b"static int __init *f(int __user *p)\n{\n\treturn 0;\n}\n")
    assert [grammar.function_name(each) for each in grammar.functions(root)] == ["f"]


SYSCALLS = b"""
SYSCALL_DEFINE3(first, int, cmd, unsigned int, flags, int, cpu)
{
	if (flags)
		goto out;
	return 1;
out:
	cleaned();
undo:
	return cmd;
}

#ifdef CONFIG_COMPAT
/* Two arguments. */
COMPAT_SYSCALL_DEFINE2(second, int, x, struct bar __user *, u)
/* And a comment. */
{
	return g(x, u);
}
#endif
SYSCALL_DEFINE0(third)
{
	return h();
}
late_initcall(init);
{ return 2; }
static int f(int n)
{
	LIST_FOR_EACH(n, list)
	{
		g(n);
	}
	return 0;
}
"""


def test_a_system_call_is_a_function() -> None:
    root = grammar.parse(SYSCALLS)
    found = [
        (grammar.function_name(each), *grammar.lines(each)) for each in grammar.functions(root)
    ]
    assert found == [("first", 2, 11), ("second", 15, 19), ("third", 21, 24), ("f", 27, 34)]
    every = mutants.of_file("a.c", SYSCALLS, Only())
    early = [(each.function, each.line) for each in every if each.operator == "early-return"]
    assert early == [("first", 3), ("second", 17), ("third", 22), ("f", 28)]
    gotos = [each.replacement for each in every if each.operator == "goto-label"]
    assert gotos == ["undo"]
    assert {"first", "second", "third"} == {each.function for each in every if each.line < 25}
