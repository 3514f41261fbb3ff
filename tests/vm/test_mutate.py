"""Mutants of a carried series on real machines: one that is killed, one that does not build."""

from __future__ import annotations

import json
from pathlib import Path

from tests.vm.conftest import Toolkit

COMMON = ("--patch", "v4", "--test", "iosignalfd_overlap_test")


def mutants(toolkit: Toolkit, *words: str) -> tuple[dict[str, str], Path]:
    """Return what became of each mutant, by its id, and the run folder."""
    ended = toolkit.run("mutate", *COMMON, *words)
    assert ended.code == 0, str(ended)
    written = json.loads((ended.folder / "mutants.json").read_text())
    fates = {each["mutant"]["id"]: each["verdict"]["fate"] for each in written["mutants"]}
    return fates, ended.folder


def test_a_few_mutants_and_then_none(toolkit: Toolkit) -> None:
    listed = toolkit.run("mutate", *COMMON, "--list").out.splitlines()
    wanted = [
        next(line for line in listed if line.endswith(words)).split()[0]
        for words in (
            "return-value: kvm_io_range_end(access) <= kvm_io_range_end(range) -> 0",
            "arguments-swapped: bus, range -> range, bus",
        )
    ]
    chosen = [word for name in wanted for word in ("--mutant", name)]
    fates, folder = mutants(toolkit, *chosen)
    assert fates == dict(zip(wanted, ("killed", "unbuilt"), strict=True))
    again, other = mutants(toolkit, *chosen)
    assert again == fates
    assert json.loads((other / "mutants.json").read_text())["recalled"] == len(wanted)
    assert 'id="mutants"' in (folder / "report.html").read_text()
