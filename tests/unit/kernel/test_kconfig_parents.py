from __future__ import annotations

from tests.unit.kernel.test_kunit_tests import KCONFIG
from toolkit.kernel import kconfig_explain, kconfig_parents

SYMBOLS = kconfig_explain.symbols({"Kconfig": KCONFIG}.get, "x86")


def wishes(*names: str) -> dict[str, str]:
    asked = kconfig_parents.with_parents(SYMBOLS, [f"CONFIG_{name}" for name in names])
    return {option.removeprefix("CONFIG_"): value for option, value in asked.items()}


def test_parents_are_asked_for_as_far_as_a_dependency_names_one() -> None:
    assert wishes("FS_TEST") == {
        "FS_TEST": "m",
        "FS": "m",
        "BLOCK": "y",
        "NET": "y",
        "KUNIT": "y",  # one place has to have it built in
    }
    assert wishes("CORE_TEST") == {"CORE_TEST": "y", "KUNIT": "y"}  # KASAN is another kernel
    assert wishes("LIST_TEST", "FS_TEST")["KUNIT"] == "y"
    assert wishes("X", "NOWHERE") == {}
    assert wishes("HIDDEN") == {"NET": "y"}  # with which it may come by a default
    assert wishes("ALL") == {"ALL": "y", "ALL2": "y"}


def missing(config: dict[str, str], **wanted: str) -> dict[str, str]:
    have = {f"CONFIG_{name}": value for name, value in config.items()}
    asked = {f"CONFIG_{name}": value for name, value in wanted.items()}
    found = kconfig_parents.missing_parents(SYMBOLS, have, asked)
    return {option.removeprefix("CONFIG_"): value for option, value in found.items()}


def test_what_is_there_is_not_missing() -> None:
    assert missing({}, FS="m") == {"BLOCK": "y", "NET": "y"}
    assert missing({"NET": "y"}, FS="m") == {"BLOCK": "y"}
    assert missing({"NET": "y", "BLOCK": "y"}, FS="m") == {}
    # What is to be built in has its parents built in, and nothing that is becomes a module.
    there = {"NET": "y", "BLOCK": "y", "KUNIT": "y"}
    assert missing({**there, "FS": "m"}, FS_TEST="y") == {"FS": "y"}
    assert missing({**there, "FS": "m"}, FS_TEST="m") == {}
    assert missing({**there, "FS": "y"}, FS_TEST="m") == {}
    assert missing({"NET": "y"}, NOWHERE="y", HIDDEN="m") == {}
    assert missing({}, HIDDEN="m") == {"NET": "y"}
