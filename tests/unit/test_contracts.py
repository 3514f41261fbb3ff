"""The contracts of carried series, and the cases that test them: each row has one, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contract:
    """A ``contract.md``, and the suite that holds the kernel to it."""

    file: Path
    suite: Path
    at_least: int  # rows, lest none be found at all

    @property
    def name(self) -> str:
        """What its fixture is called, and its programs begin with."""
        return self.suite.name.replace("-", "_")

    def rows(self) -> Iterator[tuple[str, str]]:
        """Return what each row is about, and its tests."""
        for line in self.file.read_text().splitlines():
            if line.startswith("| ") and not line.startswith("| situation "):
                about, _, tests = line.strip("| ").split(" | ")
                yield about, tests

    def named(self) -> set[str]:
        return {
            f"{program}: {case}"
            for _, tests in self.rows()
            if not tests.startswith("(")
            for part in tests.split("; ")
            for program, _, cases in [part.partition(": ")]
            for case in cases.split(", ")
        }

    def written(self) -> set[str]:
        case = re.compile(rf"^TEST_F(?:_TIMEOUT)?\({self.name}, (\w+)[,)]", re.MULTILINE)
        return {
            f"{file.name.removeprefix(self.name + '_').removesuffix('_test.c')}: {name}"
            for file in self.suite.glob("*_test.c")
            for name in case.findall(file.read_text())
        }


CONTRACTS = [
    Contract(ROOT / "patches" / topic / "v1/contract.md", ROOT / "kselftests" / topic, at_least)
    for topic, at_least in (("mmio-socket", 50), ("kvm-task-api", 45))
]


@pytest.fixture(params=CONTRACTS, ids=lambda contract: contract.name)
def contract(request: pytest.FixtureRequest) -> Contract:
    assert isinstance(request.param, Contract)
    return request.param


def test_each_contract_is_tested() -> None:
    carried = set(ROOT.glob("patches/*/*/contract.md"))
    assert carried == {contract.file for contract in CONTRACTS}


def test_each_row_names_a_test_or_says_why_it_has_none(contract: Contract) -> None:
    assert len(list(contract.rows())) > contract.at_least
    assert [about for about, tests in contract.rows() if not tests] == []


def test_each_test_of_a_row_is_written(contract: Contract) -> None:
    assert contract.named() - contract.written() == set()


def test_each_case_holds_the_kernel_to_a_row(contract: Contract) -> None:
    assert contract.written() - contract.named() == set()
