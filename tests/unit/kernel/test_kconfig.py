from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.kernel import kconfig

OPTIONS = st.dictionaries(
    st.from_regex(r"CONFIG_[A-Z0-9_]{1,12}", fullmatch=True),
    st.sampled_from(["y", "m", "n", "4", '"text with = and #"']),
)


def test_a_fragment_has_comments_blanks_and_unset_options() -> None:
    text = "# why\n\nCONFIG_A=y\nCONFIG_B=m # no comment here\n# CONFIG_C is not set\n"
    fragment = kconfig.parse_fragment(text, "some/config")
    assert fragment.options == {"CONFIG_A": "y", "CONFIG_B": "m # no comment here", "CONFIG_C": "n"}


def test_what_is_no_option_is_refused_with_its_line() -> None:
    with pytest.raises(UserError, match=r"suite/config:2: not a configuration option: 'KVM=y'"):
        kconfig.parse_fragment("CONFIG_A=y\nKVM=y\n", "suite/config")


def test_two_values_for_one_option_are_refused() -> None:
    with pytest.raises(UserError, match="f:2: CONFIG_A is y above and m here"):
        kconfig.parse_fragment("CONFIG_A=y\nCONFIG_A=m\n", "f")


def test_a_later_fragment_wins_and_is_who_asked() -> None:
    first = kconfig.parse_fragment("CONFIG_KVM=m", "suite kvm")
    second = kconfig.parse_fragment("CONFIG_KVM=y", "profile debug")
    assert kconfig.merge([first, second]) == {"CONFIG_KVM": ("y", "profile debug")}


def test_a_dropped_option_names_who_asked_and_what_it_became() -> None:
    merged = kconfig.merge(
        [kconfig.parse_fragment("CONFIG_KVM=y\nCONFIG_X=n\nCONFIG_GONE=y", "suite kvm")]
    )
    missing = kconfig.dropped("CONFIG_KVM=m\n# CONFIG_X is not set\n", merged)
    assert [str(item) for item in missing] == [
        "CONFIG_KVM=y asked for by suite kvm, became m",
        "CONFIG_GONE=y asked for by suite kvm, became n",
    ]
    error = kconfig.refuse(missing, {"CONFIG_GONE": "it depends on MOON (MOON=n)"})
    assert "CONFIG_KVM=y, which suite kvm asks for (and 1 more)" in error.what
    assert error.detail[1].endswith("became n: it depends on MOON (MOON=n)")


def test_a_wish_gives_way_to_whoever_else_asks() -> None:
    wish = Fragment("upstream", {"CONFIG_KVM": "y", "CONFIG_X": "y"}, soft=True)
    firm = kconfig.parse_fragment("CONFIG_KVM=m", "suite kvm")
    for order in ([wish, firm], [firm, wish]):
        assert kconfig.merge(order)["CONFIG_KVM"] == ("m", "suite kvm")
        assert kconfig.wishes(order) == ["CONFIG_X"]
    second = Fragment("carried", {"CONFIG_X": "m"}, soft=True)
    assert kconfig.merge([wish, second, firm])["CONFIG_X"] == ("m", "carried")


def test_a_module_grants_the_wish_for_what_was_to_be_built_in() -> None:
    merged = {f"CONFIG_{name}": ("y", "x") for name in "ABC"} | {"CONFIG_D": ("4", "x")}
    missing = kconfig.dropped("CONFIG_A=m\nCONFIG_B=n\nCONFIG_D=5\n", merged)
    assert [(each.option, each.granted) for each in missing] == [
        ("CONFIG_A", True),
        ("CONFIG_B", False),
        ("CONFIG_C", False),
        ("CONFIG_D", False),
    ]
    assert kconfig.ungranted(missing[1:], {"CONFIG_C": "no Kconfig file defines it"}) == (
        "Kconfig dropped CONFIG_B=y, CONFIG_C=y (no Kconfig file defines it), CONFIG_D=4, "
        "asked for by x"
    )
    many = [dataclasses.replace(missing[1], option=f"CONFIG_{at}") for at in range(9)]
    assert kconfig.ungranted(many, {}).endswith("CONFIG_4=y and 4 more, asked for by x")


@given(OPTIONS)
def test_what_is_rendered_is_read_back_and_nothing_is_dropped(options: dict[str, str]) -> None:
    merged = {name: (value, "here") for name, value in options.items()}
    text = kconfig.render(merged)
    assert kconfig.parse_config(text) == options
    assert kconfig.dropped(text, merged) == []


@given(st.text())
def test_reading_a_config_never_raises(text: str) -> None:
    kconfig.parse_config(text)


def test_changes_are_told_by_who_wanted_them() -> None:
    started = {"CONFIG_A": "m", "CONFIG_B": "y"}
    merged = {
        "CONFIG_A": ("y", "image"),
        "CONFIG_B": ("y", "image"),
        "CONFIG_C": ("n", "suite"),
        "CONFIG_D": ('"x"', "suite"),
    }
    assert kconfig.changes("mine", started, merged) == [
        "mine is changed for image: CONFIG_A=y (was m)",
        'mine is changed for suite: CONFIG_D="x" (was n)',
    ]
    many = {f"CONFIG_{number:02}": ("y", "f") for number in range(60)}
    (line,) = kconfig.changes("mine", {}, many)
    assert line.endswith("CONFIG_39=y (was n) and 20 more")


def test_what_was_lost_is_told_but_not_what_the_compiler_can_do() -> None:
    wanted = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_GCC_X=y\nCONFIG_CC_IS_GCC=y\nCONFIG_N=4\nCONFIG_C=y\n"
    text = "# CONFIG_A is not set\nCONFIG_C=m\n"
    said = ["this kernel does not have 2 options of mine: CONFIG_A=y, CONFIG_B=m"]
    assert kconfig.lost("mine", wanted, text) == said
    assert kconfig.lost("mine", text, text) == []
