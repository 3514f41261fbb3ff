"""How slow a machine is, and what its test programs get for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.testing.pace import Pace

OWN = TestProgram("kvm", "own", 40.0)
OF_TREE = TestProgram("net", "of_tree", 45.0, limit_of_tree=True)
ENDLESS = TestProgram("net", "endless", 0.0, limit_of_tree=True)


def limits(pace: Pace) -> list[float]:
    (suite,) = pace.stretch([BuiltSuite("any", Path(), (OWN, OF_TREE, ENDLESS))])
    return [program.timeout for program in suite.programs]


@pytest.mark.parametrize(
    ("accelerator", "config", "tree_factor"),
    [
        ("kvm", "CONFIG_KVM=m\n# CONFIG_KASAN is not set\n", 1),
        ("tcg", "CONFIG_KVM=m\n", 4),
        ("kvm", "CONFIG_KASAN=y\nCONFIG_PROVE_LOCKING=y\n", 2),
        ("tcg", "CONFIG_PROVE_LOCKING=y\n", 8),
    ],
)
def test_limits_of_the_tree_are_stretched_where_the_machine_is_slow(
    accelerator: str, config: str, tree_factor: int
) -> None:
    pace = Pace.of(accelerator, config)
    assert limits(pace) == [40.0, 45.0 * tree_factor, 0.0]
    assert pace.environment == ({"KSFT_MACHINE_SLOW": "yes"} if tree_factor > 1 else {})


def test_a_factor_that_is_asked_for_stretches_all() -> None:
    assert limits(Pace.of("tcg", "", 0.5)) == [20.0, 90.0, 0.0]
