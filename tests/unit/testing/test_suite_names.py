from __future__ import annotations

from toolkit.testing import suite_names


def test_the_form_of_a_name() -> None:
    names = (
        "kunit",
        "kunit:x",
        "kunits",
        "./kunit",
        "kvm-unit-tests:~/k:u",
        "kvm-unit-tests",
        "a:b",
    )
    assert [name for name in names if suite_names.is_kunit(name)] == ["kunit", "kunit:x"]
    assert [name for name in names if suite_names.is_kvm_unit_tests(name)] == [
        "kvm-unit-tests:~/k:u",
        "kvm-unit-tests",
    ]


def test_what_a_suite_is_called() -> None:
    names = ("kunit:x", "kvm", "./a/b", "kvm-unit-tests:~/k", "program:./c.sh")
    assert [suite_names.name_of(name) for name in names] == [
        "kunit",
        "kvm",
        "b",
        "kvm-unit-tests",
        "program-c.sh",
    ]
