"""Lower never imports higher, and what only one module may do only that one does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "toolkit"

# From the bottom up. A module may import from the levels below its own, and within its own only
# what PAIRS allows: a helper and its one user.
LEVELS = (
    {"__init__", "errors", "model", "deadline", "text"},
    {
        "process",
        "arch",
        "ktap",
        "console",
        "cache",
        "cpio",
        "elf",
        "yamlfile",
        "patchfile",
        "paths",
    },
    {
        "manifest",
        "series",
        "series_files",
        "series_manifest",
        "localtree",
        "kconfig",
        "kconfig_deps",
        "qemu",
        "qmp",
        "archive",
        "download",
        "debs",
        "keys",
    },
    {"initramfs", "rootdisk", "hostprobe", "source", "patching", "worktree", "kbuild", "image"}
    | {"machine", "guest", "results", "terminal", "doctor"},
    {"selftests", "suites", "report", "display"},
    {"pipeline"},
    {"check"},
    {"cli"},
)
PAIRS: set[tuple[str, str]] = {("image", "initramfs"), ("image", "rootdisk"), 
    ("series", "manifest"),
    ("series", "series_files"),
    ("series", "series_manifest"),
    ("series_manifest", "manifest"),
}


def imports(path: Path) -> set[str]:
    """Return the names of the toolkit's modules that the module at ``path`` imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("toolkit"):
            if node.module == "toolkit":
                found |= {alias.name for alias in node.names}
            else:
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("toolkit.")}
    return {name for name in found if not name.startswith("__")}


MODULES = sorted(PACKAGE.glob("*.py"))


def level(module: str) -> int:
    matching = [number for number, names in enumerate(LEVELS) if module in names]
    assert len(matching) == 1, f"say in LEVELS where {module} belongs"
    return matching[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_import_points_up(path: Path) -> None:
    own = level(path.stem)
    for name in imports(path):
        allowed = level(name) < own or (path.stem, name) in PAIRS
        assert allowed, f"{path.stem} (level {own}) imports {name} (level {level(name)})"


def test_every_pair_is_still_needed() -> None:
    for user, helper in PAIRS:
        assert helper in imports(PACKAGE / f"{user}.py")
        assert level(user) == level(helper)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_process_starts_processes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    forbidden = {"subprocess.run", "subprocess.Popen", "os.system", "os.fork", "os.execvp"}
    assert path.stem == "process" or not calls & forbidden


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_cli_exits(path: Path) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert path.stem == "cli" or not calls & {"sys.exit", "exit", "os._exit"}
