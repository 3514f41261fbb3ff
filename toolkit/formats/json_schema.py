"""The JSON Schemas of what the toolkit reads and writes, as they stand in their files."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def of_version(adapter: TypeAdapter[Any], version: int) -> dict[str, Any]:
    """Return the schema of documents of one ``version``, which each says below ``schema``."""
    schema = adapter.json_schema(mode="serialization")
    schema["properties"]["schema"] = {"const": version, "title": "Schema"}
    schema["required"] = sorted({*schema.get("required", ()), "schema"})
    return {"$schema": DIALECT, **schema}


def text(schema: dict[str, Any]) -> str:
    """Return a schema as it stands in its file, with its dialect."""
    return json.dumps({"$schema": DIALECT, **schema}, indent=2, sort_keys=True) + "\n"
