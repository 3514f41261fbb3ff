"""The half of docs/verdict-table.md that matters most, with real kernels in real machines.

A cell there was made with fakes; what a real kernel with the same fault gives must be the same.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.vm.conftest import DATA, PROJECT, Toolkit
from tests.vm.test_fault_table import as_kvm_loads

TABLE = PROJECT / "docs/verdict-table.md"
IOCTL = ("--suite", "selfcheck", "--test", "ioctl_test")
# What a series makes of the kernel, in the words of the table.
ENDS = {
    "refuses": "a case fails",
    "loop-in-ioctl": "the program does not end",
    "warns-when-loaded": "a splat at boot or while modules load",
    "warn-in-ioctl": "a splat in a test, or after the last one",
    "panic-at-boot": "the kernel does not come up",
    "no-compile": "the kernel does not compile",
}
COMMANDS = (
    "build-and-test",
    "test --from",
    "watch",
    "build-and-test --baseline",
    "build-and-test --each",
    "b4-check series",
)


def cells() -> dict[tuple[str, str], str]:
    """Return the table's cells by end and command."""
    rows = [
        line.strip("|").split("|") for line in TABLE.read_text().splitlines() if line[:1] == "|"
    ]
    head, _rule, *body = [[cell.strip().strip("`") for cell in row] for row in rows]
    return {(row[0], name): cell for row in body for name, cell in zip(head, row, strict=True)}


def series(tmp_path: Path, name: str) -> Path:
    """Return the folder of a series of one patch."""
    if name == "warns-when-loaded":
        return as_kvm_loads(tmp_path / name, "WARN_ON(1);")
    if name == "refuses":
        (patch,) = (DATA / "series/breaks-twice").glob("0003-*.patch")
        folder = tmp_path / name
        folder.mkdir()
        (folder / patch.name).write_text(patch.read_text())
        return folder
    return DATA / "series" / name


def cell(toolkit: Toolkit, root: Path, command: str, patches: Path) -> str:
    """Return what a command makes of a series, as the table has it."""
    patch = ("--patch", str(patches))
    if command == "watch":
        return _watched(toolkit, root, patch)
    if command == "b4-check series":
        (mail,) = patches.glob("*.patch")
        ended = toolkit.run("b4-check series", *IOCTL, root=root, stdin=mail)
        answers = json.loads(ended.out)
        worst = min((each["status"] for each in answers), key=["fail", "warn", "pass"].index)
        return f"{ended.code} {worst}"
    if command == "test --from":
        saved = toolkit.tmp / "saved"
        built = toolkit.run(
            "build", *patch, "--save", str(saved), "--suite", "selfcheck", root=root
        )
        if built.code:
            return "-"
        ended = toolkit.run("test", "--from", str(saved), *IOCTL, root=root)
    else:
        ended = toolkit.run("build-and-test", *patch, *command.split()[1:], *IOCTL, root=root)
    assert ended.result["exit_code"] == ended.code, ended
    return f"{ended.code} {ended.result['verdict']}"


def _watched(toolkit: Toolkit, root: Path, patch: tuple[str, str]) -> str:
    started = toolkit.start("watch", *patch, *IOCTL, root=root)
    started.wait_for("waiting for an edit")
    started.process.send_signal(signal.SIGINT)
    ended = started.finish(60)
    result = json.loads((ended.folder / "1/result.json").read_text())
    return f"{result['exit_code']} {result['verdict']}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda name: re.sub(r"\W+", "-", name))
@pytest.mark.parametrize("name", ENDS)
def test_a_cell(toolkit: Toolkit, seeded: Path, tmp_path: Path, name: str, command: str) -> None:
    wanted = cells()[ENDS[name], command]
    assert cell(toolkit, seeded, command, series(tmp_path, name)) == wanted
