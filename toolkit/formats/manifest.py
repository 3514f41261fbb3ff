"""Checks the YAML files that people write against models, strictly.

A manifest is a :class:`Manifest` subclass. A key nobody knows, a key given twice, a value of
the wrong type: each is a :class:`UserError` that names the file, the line and the key. Keys
are written with hyphens in YAML and with underscores in Python.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from toolkit.core.errors import UserError
from toolkit.formats import yamlfile
from toolkit.formats.yamlfile import YamlFile

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
    """Return ``file``'s data as ``model``; every fault is told, the first one as the error."""
    try:
        return model.model_validate(file.data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # A misspelt key often makes another one "missing"; the misspelling is what to mend.
        faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
        lines = [f"{file.origin}:{file.line(f['loc'])}: {_explain(f)}" for f in faults]
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
        case "value_error":
            return f"{_dotted(fault['loc'])}: {fault['ctx']['error']}".removeprefix(": ")
    found = repr(fault["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{_dotted(fault['loc'])}: {message}, not {found}"


def _dotted(location: Sequence[int | str]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _hint(fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] != "extra_forbidden":
        return ""
    *parents, last = fault["loc"]
    known = sorted(_known(model, parents))
    near = nearest(str(last), known)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}known keys: {', '.join(known)}"


def _known(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """Return the keys that the model reached from ``model`` by ``location`` takes."""
    reached: list[Any] = [model]
    for step in location:
        # A step that leads nowhere is the name of a union's branch, which pydantic puts in.
        reached = [kind for outer in reached for kind in _inside(outer, step)] or reached
    models = [kind for kind in reached if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return {field.alias or name for kind in models for name, field in kind.model_fields.items()}


def _inside(outer: Any, step: int | str) -> list[Any]:
    """Return the types that ``step`` leads to from a value of type ``outer``."""
    origin = typing.get_origin(outer) or outer
    if not isinstance(origin, type):
        return []
    inner: Sequence[Any] = ()
    if issubclass(origin, BaseModel):
        fields = origin.model_fields.items()
        inner = [field.annotation for name, field in fields if (field.alias or name) == step]
    elif issubclass(origin, Mapping):
        inner = typing.get_args(outer)[1:]
    elif issubclass(origin, Sequence):
        inner = typing.get_args(outer)
    return [kind for annotation in inner for kind in _branches(annotation)]


def _branches(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _branches(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _branches(part)]
    return [annotation]
