"""JSON whose long lists are written item by item: a result may have 50,000 leaves of a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def parts(data: Mapping[str, Any], *, indent: int, ensure_ascii: bool = True) -> Iterator[bytes]:
    """Yield, piece by piece, what :func:`json.dumps` gives for ``data``, and a newline.

    A value that is an iterator stands for the list of its items, and never is one in memory.
    """
    pad = " " * indent

    def text(value: Any, depth: int) -> bytes:
        lines = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
        return lines.replace("\n", "\n" + pad * depth).encode()

    before = "{"
    for name, value in data.items():
        yield f"{before}\n{pad}".encode() + text(name, 1) + b": "
        before = ","
        if not isinstance(value, Iterator):
            yield text(value, 1)
            continue
        separator = "["
        for item in value:
            yield f"{separator}\n{pad * 2}".encode() + text(item, 2)
            separator = ","
        yield f"\n{pad}]".encode() if separator == "," else b"[]"
    yield b"\n}\n" if before == "," else b"{}\n"
