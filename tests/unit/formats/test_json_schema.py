from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter

from toolkit.formats import json_schema


@dataclass
class Document:
    name: str
    size: int = 0


def test_a_document_says_of_which_version_it_is() -> None:
    schema = json_schema.of_version(TypeAdapter(Document), 3)
    assert schema["properties"]["schema"] == {"const": 3, "title": "Schema"}
    assert {"name", "schema"} <= set(schema["required"])
    text = json_schema.text(schema)
    assert json.loads(text) == schema
    assert text.startswith('{\n  "$schema": "https://json-schema.org/draft/2020-12/schema",\n')


def test_the_dialect_is_named_where_a_schema_does_not() -> None:
    assert json.loads(json_schema.text({"type": "object"})) == {
        "$schema": json_schema.DIALECT,
        "type": "object",
    }
