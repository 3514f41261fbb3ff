"""Lower never imports higher, and what only one module may do only that one does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "toolkit"

# From the bottom up: a module imports from the levels that stand above its own in this list.
LEVELS = [
    set(level.split())
    for level in """
    __init__ errors evidence
  / model
  / deadline integrity significance text
  / arch bench_model bisection cache console cpio diagnostics elf gcov harness instrument journal
    kconfig kconfig_deps keys ktap modalias patchfile paths process qemu yamlfile
  / archive bench_file bench_log bench_table bundle ccache checkpatch coccinelle debs
    download environment gitrepo labelled localtree make manifest memory origin payload profile qmp
    rebuild results room runs series_files snapshot unrun upstream watch
  / blame coverage history outline replay
  / standing
  / beside
  / b4check bench_figure bisector charts compare display gittree guest hostprobe htmlbeside
    htmlcoverage initramfs junit kbuild kcidb machine mailreply patching rootdisk sameness
    series_manifest stacktrace suite_manifest summary worktree
  / htmlreport
  / doctor image report schedule selftests series source suites terminal
  / gcda maker reproduce request series_import
  / testbed
  / trial
  / repeats run
  / bench check options regression
  / each
  / pipeline
  / cli_house cli_records cli_run judge
  / cli_bench cli_bisect cli_mail
  / cli_series
  / cli
    """.split("/")  # noqa: SIM905 - a list of quoted words is hard to read
]


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
        assert level(name) < own, f"{path.stem} (level {own}) imports {name} (level {level(name)})"


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
