"""Hold modules and functions to CONTRIBUTING's limits: ``python -m tools.sizes``.

A module has at most 400 lines, a test module 500, a function 60 with its docstring and decorators.
Prints each that is larger; the exit code is 1 where there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = {"toolkit": 400, "benchmarks": 400, "tools": 400, "tests": 500}
FUNCTION = 60


def larger(path: Path, module: int, function: int = FUNCTION) -> Iterator[str]:
    """Yield a line for the module at ``path`` and each function in it that is over its limit."""
    text = path.read_text()
    lines = text.count("\n")
    if lines > module:
        yield f"{path}: {lines} lines; at most {module}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            length = (node.end_lineno or first) - first + 1
            if length > function:
                yield f"{path}:{first}: {node.name} has {length} lines; at most {function}"


def main(root: Path) -> int:
    """Print what is too large below ``root``, and return the exit code."""
    count = 0
    for folder, module in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            for line in larger(path, module):
                print(line)
                count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(Path()))
