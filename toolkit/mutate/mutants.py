"""The mutants of a series: every fault that an operator makes in the lines that it wrote.

Only code is a target: what stands in a function's body, in a C file or header of the kernel, in
lines that a patch of the series wrote. A mutant takes as many lines as what it replaces, so that
``__LINE__`` stays what it is everywhere else, and with it the object code.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from toolkit.core.model.mutation import Mutant
from toolkit.core.model.series import PatchedTree
from toolkit.host.cache import digest
from toolkit.mutate import grammar
from toolkit.mutate.grammar import Node
from toolkit.mutate.operators.edit import Edit, Operator
from toolkit.mutate.operators.table import OPERATORS
from toolkit.series.annotate import Annotations

# No part of the kernel: programs for user space, documentation, scripts.
_ELSEWHERE = re.compile(
    r"^(tools|Documentation|scripts|samples|usr)/|(^|/)tests?/|_test\.c$|_kunit\.c$"
)
_CODE = re.compile(r".*\.[ch]")
_UAPI = re.compile(r"(^|/)include/uapi/|(^|/)uapi/")
# They say nothing that runs.
_ASSERTIONS = re.compile(r"^(BUILD_BUG|static_assert|_Static_assert|compiletime_assert)")
_MAX_BYTES = 4 << 20  # of a file that is looked at
_MAX_DEPTH = 400  # nodes within each other: tree-sitter finds each one's parent from the root


class Lines(Protocol):
    """Says which patch of a series wrote a line: :class:`toolkit.series.annotate.Annotations`."""

    def patch_of(self, file: str, number: int) -> int:
        """Return the patch that wrote a line, counted from 1; 0 for any other line."""


class OfSeries:
    """The lines of a patched tree that its series wrote."""

    def __init__(self, tree: PatchedTree) -> None:
        self._annotations = Annotations(tree)

    def patch_of(self, file: str, number: int) -> int:
        """Return the patch that wrote a line, counted from 1; 0 for any other line."""
        place = self._annotations.of(file, number)
        return place.patch if place else 0


def of_tree(tree: PatchedTree, operators: Sequence[Operator] = OPERATORS) -> list[Mutant]:
    """Return all mutants of a series, in the order of its files and their lines."""
    lines = OfSeries(tree)
    return [
        mutant
        for path, file in sorted(tree.files.items())
        if file.content is not None and is_target(path) and len(file.content) <= _MAX_BYTES
        for mutant in of_file(path, file.content, lines, operators)
    ]


def is_target(path: str) -> bool:
    """Return whether a file may have code of the kernel in it."""
    return bool(_CODE.fullmatch(path)) and not _ELSEWHERE.search(path) and not _UAPI.search(path)


def of_file(
    path: str, content: bytes, lines: Lines, operators: Sequence[Operator] = OPERATORS
) -> list[Mutant]:
    """Return the mutants of one file, each place and text once, in the order of the file."""
    by_kind: dict[str, list[Operator]] = {}
    for operator in operators:
        for kind in operator.kinds:
            by_kind.setdefault(kind, []).append(operator)
    starts = _line_starts(content)
    mutants: dict[tuple[int, int, str], Mutant] = {}
    for function in grammar.functions(grammar.parse(content)):
        name = grammar.function_name(function)
        within = grammar.lines(function)
        for node in _code(function):
            for operator in by_kind.get(node.type, ()):
                for edit in operator.find(node):
                    patch = _wrote(path, edit, starts, lines)
                    if not patch:
                        continue
                    mutant = _mutant(path, content, edit, operator.name, starts)
                    mutant = dataclasses.replace(mutant, function=name, within=within, patch=patch)
                    mutants.setdefault((edit.start, edit.end, mutant.replacement), mutant)
    return sorted(mutants.values(), key=lambda each: (each.start, each.end, each.operator))


def _code(function: Node) -> Iterator[Node]:
    """Yield the function itself, and the nodes of its body that the grammar is sure of."""
    body = grammar.body(function)
    if body is None:
        return
    yield function
    pending = [(node, 1) for node in reversed(body.named_children)]
    while pending:
        node, depth = pending.pop()
        if depth > _MAX_DEPTH or _is_assertion(node):
            continue
        if grammar.sound(node):
            yield node
        pending += ((child, depth + 1) for child in reversed(node.named_children))


def _is_assertion(node: Node) -> bool:
    called = node.child_by_field_name("function") if node.type == "call_expression" else None
    if node.type == "expression_statement" and node.named_child_count:
        return _is_assertion(node.named_children[0])
    if called is None:
        return node.type in ("comment", "preproc_def", "preproc_function_def", "static_assert")
    return bool(_ASSERTIONS.search(grammar.text(called)))


def _line_starts(content: bytes) -> list[int]:
    return [0, *(match.end() for match in re.finditer(b"\n", content))]


def _line_of(starts: Sequence[int], at: int) -> int:
    low, high = 0, len(starts)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if starts[middle] <= at else (low, middle)
    return low + 1


def _wrote(path: str, edit: Edit, starts: Sequence[int], lines: Lines) -> int:
    """Return the last patch that wrote what is replaced; 0 unless the series wrote all of it."""
    last = max(edit.start, edit.end - 1)
    rows = range(_line_of(starts, edit.start), _line_of(starts, last) + 1)
    patches = [lines.patch_of(path, row) for row in rows]
    return max(patches) if all(patches) else 0


def _mutant(path: str, content: bytes, edit: Edit, operator: str, starts: Sequence[int]) -> Mutant:
    original = _text(content[edit.start : edit.end])
    replacement = _as_long(edit.replacement, original)
    key = digest(path, edit.start, original, replacement)
    return Mutant(
        id=key[:12],
        operator=operator,
        file=path,
        line=_line_of(starts, edit.start),
        start=edit.start,
        original=original,
        replacement=replacement,
        guarded=_as_long(edit.guarded, original) if edit.guarded else "",
    )


def _as_long(replacement: str, original: str) -> str:
    return replacement + "\n" * max(0, original.count("\n") - replacement.count("\n"))


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


# --- a file with its mutant ----------------------------------------------------------------


def mutated(content: bytes, mutant: Mutant, *, compiled: bool = False) -> bytes:
    """Return a file with a mutant in it; ``compiled``: as the compiler gets it.

    Raises :class:`ValueError` where the file is not the one that the mutant was made for.
    """
    text = mutant.guarded if compiled and mutant.guarded else mutant.replacement
    return _exchanged(content, mutant.start, mutant.original, text)


def restored(content: bytes, mutant: Mutant) -> bytes:
    """Return a file without the mutant that is in it; raises as :func:`mutated` does."""
    return _exchanged(content, mutant.start, mutant.replacement, mutant.original)


def _exchanged(content: bytes, at: int, old: str, new: str) -> bytes:
    end = at + len(_bytes(old))
    if content[at:end] != _bytes(old):
        raise ValueError(f"byte {at} does not begin {old!r}")
    return content[:at] + _bytes(new) + content[end:]


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes], context: int = 3) -> list[str]:
    """Return the lines of a unified diff; an added line of white space alone is left out."""
    import difflib  # noqa: PLC0415 - most commands need none

    lines: list[str] = []
    for path in sorted(after):
        old = _text(before.get(path, b"")).splitlines()
        new = _text(after[path]).splitlines()
        names = (f"a/{path}", f"b/{path}")
        part = difflib.unified_diff(old, new, *names, n=context, lineterm="")
        lines += (line for line in part if line.strip() != "+")
    return lines


def count(mutants: Iterable[Mutant]) -> dict[str, int]:
    """Return how many mutants each operator gave."""
    numbers: dict[str, int] = {}
    for mutant in mutants:
        numbers[mutant.operator] = numbers.get(mutant.operator, 0) + 1
    return numbers
