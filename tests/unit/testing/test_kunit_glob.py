from __future__ import annotations

import re

import pytest

from toolkit.core.errors import UserError
from toolkit.kernel.kunit_tests import TestModule
from toolkit.testing import kunit_glob


def module(name: str, suites: tuple[str, ...], cases: tuple[str, ...] = ()) -> TestModule:
    return TestModule(name, suites, cases, (), (), {}, {}, ())


MODULES = (
    module("list-test", ("list-kunit-test", "hlist"), ("list_add", "hlist_add")),
    module("test_list_sort", ("list_sort",), ("list_sort_works",)),
    module("gss_krb5_test", ("RFC 3961 tests",)),
    module("nameless", ()),
)


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*", "list-test test_list_sort gss_krb5_test nameless"),
        ("list*", "list-test test_list_sort"),
        ("hlist", "list-test"),
        ("*list.hlist_*", "list-test"),
        ("*.list_sort_works", "test_list_sort gss_krb5_test nameless"),  # whose tests nobody knows
        ("RFC 3961*", "gss_krb5_test"),
        ("name[a-l]ess", "nameless"),
    ],
)
def test_what_a_glob_matches(glob: str, names: str) -> None:
    assert " ".join(each.name for each in kunit_glob.choose(MODULES, glob)) == names


@pytest.mark.parametrize(
    ("glob", "what", "hint"),
    [
        ("list_srot", "no KUnit suite of the tree is called 'list_srot'", "kunit:list_sort"),
        ("test_list_sort", "is called 'test_list_sort'", "did you mean kunit:list_sort"),
        ("*krb5*", "is called", "kunit:RFC 3961 tests"),
        ("hlist.hlist_sub", "no test of the KUnit suites hlist is called", "hlist.hlist_add"),
        ("zzzzzzz", "is called 'zzzzzzz'", r"kunit:\* runs all"),
        ("", "is called ''", r"kunit:\* runs all"),
    ],
)
def test_a_glob_that_matches_nothing(glob: str, what: str, hint: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        kunit_glob.choose(MODULES, glob)
    assert re.search(hint, caught.value.hint)


def test_a_tree_without_tests() -> None:
    with pytest.raises(UserError, match="the tree has no KUnit tests"):
        kunit_glob.choose((), "*")


def test_names() -> None:
    assert [kunit_glob.glob_of(name) for name in ("kunit", "kunit:*", "kunit:a.b:c")] == [
        "*",
        "*",
        "a.b:c",
    ]
    with pytest.raises(UserError, match="there is no glob"):
        kunit_glob.glob_of("kunit:")
