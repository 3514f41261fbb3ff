"""Checks the YAML files that people write against models, strictly.

A manifest is a :class:`Manifest` subclass. A key nobody knows, a key given twice, a value of
the wrong type: each is a :class:`UserError` that names the file, the line and the key. Keys
are written with hyphens in YAML and with underscores in Python.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from toolkit.core.errors import UserError
from toolkit.formats import yamlfile
from toolkit.formats.yamlfile import YamlFile

MAX_FAULTS = 30  # told of one file: each is looked for in it
_OF_KEY = "[key]"  # how pydantic names a mapping's key, behind the key itself

M = TypeVar("M", bound="Manifest")


class Manifest(BaseModel):
    """Base of every manifest model: frozen, and nothing unknown gets in."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,  # `title: 2009` is text
        alias_generator=lambda name: name.replace("_", "-"),
    )


def load(path: Path, model: type[M]) -> M:
    """Read the YAML file ``path`` into ``model``; raise :class:`UserError` for any fault in it."""
    return check(yamlfile.read(path), model)


def check(file: YamlFile, model: type[M]) -> M:
    """Return ``file``'s data as ``model``.

    Raises :class:`UserError` with the first fault, and the others as its detail.
    """
    try:
        return model.model_validate(file.data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # A misspelt key often makes another one "missing"; the misspelling is what to mend.
        faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
        shown = faults[:MAX_FAULTS]
        lines = [f"{file.origin}:{file.line(f['loc'])}: {_explain(f)}" for f in shown]
        if more := len(faults) - len(shown):
            lines.append(f"and {more} more")
        raise UserError(lines[0], hint=_hint(faults[0], model), detail=lines[1:]) from error


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Return up to three of ``known`` that may have been meant by ``name``, nearest first."""
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def _explain(fault: ErrorDetails) -> str:
    *parents, last = fault["loc"] or ("",)
    inside = f" in {_dotted(parents)}" if parents else ""
    match fault["type"]:
        case "extra_forbidden":
            return f"unknown key {last!r}{inside}"
        case "missing":
            return f"key {last!r} is missing{inside}"
        case "too_short" | "string_too_short" if not fault["input"]:
            return f"{_dotted(fault['loc'])} is empty"
        case "tuple_type":
            return f"{_dotted(fault['loc'])} is no list"
        case "value_error":
            return f"{_dotted(fault['loc'])}: {fault['ctx']['error']}".removeprefix(": ")
    value = repr(fault["input"])
    value = value if len(value) <= 60 else value[:57] + "..."
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{_dotted(fault['loc'])}: {message}, not {value}"


def _dotted(location: Sequence[int | str]) -> str:
    steps = (step for step in location if step != _OF_KEY)
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _hint(fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] != "extra_forbidden":
        return ""
    *parents, last = fault["loc"]
    keys = sorted(_known(model, parents))
    near = nearest(str(last), keys)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}known keys: {', '.join(keys)}"


def _known(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """Return the keys that the model reached from ``model`` by ``location`` takes."""
    root = model.model_json_schema()

    def branches(schema: Any) -> list[dict[str, Any]]:
        """Return the schemas of a union's types, references followed."""
        if not isinstance(schema, dict):
            return []
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return [each for part in schema.get("anyOf", ()) for each in branches(part)] or [schema]

    def inside(schema: dict[str, Any], step: int | str) -> list[dict[str, Any]]:
        if isinstance(step, int):
            return branches(schema.get("items"))
        if step in schema.get("properties", ()):
            return branches(schema["properties"][step])
        values = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        return [each for value in values for each in branches(value)]

    reached = branches(root)
    for step in location:
        # A step that leads nowhere is the name of a union's branch, which pydantic puts in.
        reached = [each for schema in reached for each in inside(schema, step)] or reached
    return {key for each in reached for key in each.get("properties", ())}
