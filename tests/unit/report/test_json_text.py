from __future__ import annotations

import json
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolkit.report import json_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.integers(1, 4), st.booleans())
def test_it_is_what_json_gives(data: dict[str, Any], indent: int, ascii_: bool) -> None:
    wanted = json.dumps(data, indent=indent, ensure_ascii=ascii_) + "\n"
    streamed = {
        name: iter(value) if isinstance(value, list) else value for name, value in data.items()
    }
    for each in (data, streamed):
        text = b"".join(json_text.parts(each, indent=indent, ensure_ascii=ascii_))
        assert text.decode() == wanted


def test_a_long_list_is_never_held_as_a_list() -> None:
    tracemalloc.start()
    items = ({"id": f"suite/program/case {number}", "status": "pass"} for number in range(20_000))
    size = sum(len(part) for part in json_text.parts({"leaves": items}, indent=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 1_000_000
    assert peak < size / 2
