"""What only one module may do, only that one does. import-linter holds the arrows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "toolkit"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
_STARTS = {"subprocess.run", "subprocess.Popen", "os.system", "os.fork", "os.execvp"}
_ENDS = {"sys.exit", "exit", "os._exit"}


def calls(module: str) -> set[str]:
    """Return what a module calls, as it is written there."""
    tree = ast.parse((PACKAGE / module).read_text())
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("module", MODULES)
def test_only_process_starts_processes(module: str) -> None:
    assert module == "host/process.py" or not calls(module) & _STARTS


@pytest.mark.parametrize("module", MODULES)
def test_only_cli_exits(module: str) -> None:
    assert module == "cli/main.py" or not calls(module) & _ENDS


@pytest.mark.parametrize("module", MODULES)
def test_nobody_unpacks_with_tarfile(module: str) -> None:
    # Its filters came with Python 3.11.4, and Debian 12 has 3.11.2: host/unpack.py has tar do it.
    assert not {call for call in calls(module) if call.endswith((".extractall", ".extract"))}


def test_each_test_file_names_a_module() -> None:
    unit = Path(__file__).parent
    strays = [
        path.relative_to(unit).as_posix()
        for package in PACKAGE.iterdir()
        if package.is_dir()
        for path in (unit / package.name).rglob("test_*.py")
        if not (PACKAGE / path.relative_to(unit).with_name(path.name[5:])).exists()
    ]
    assert not strays
