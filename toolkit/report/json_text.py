"""JSON whose long lists are written item by item: a result may have 50,000 leaves of a program."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import IO, Any


def dump(data: Mapping[str, Any], *, indent: int, ensure_ascii: bool = True) -> bytes:
    """Return what :func:`json.dumps` gives for ``data``, and a newline.

    A value that is an iterator stands for the list of its items, and never is one in memory.
    """
    text = io.BytesIO()
    pad = " " * indent

    def add(value: Any, depth: int) -> None:
        lines = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
        text.write(lines.replace("\n", "\n" + pad * depth).encode())

    separator = "{"
    for name, value in data.items():
        text.write(f"{separator}\n{pad}".encode())
        separator = ","
        add(name, 1)
        text.write(b": ")
        if isinstance(value, Iterator):
            _add_items(text, value, pad, add)
        else:
            add(value, 1)
    text.write(b"\n}\n" if separator == "," else b"{}\n")
    return text.getvalue()


def _add_items(text: IO[bytes], items: Iterator[Any], pad: str, add: Any) -> None:
    separator = "["
    for item in items:
        text.write(f"{separator}\n{pad * 2}".encode())
        separator = ","
        add(item, 2)
    text.write(f"\n{pad}]".encode() if separator == "," else b"[]")
