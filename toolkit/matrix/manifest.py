"""What the file of a matrix may say (docs/matrix.md).

Its JSON Schema, for editors, is ``schemas/matrix-file-v1.json``; ``python -m
toolkit.matrix.manifest`` writes it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, model_validator

from toolkit.core.model.matrix import AXES
from toolkit.formats import json_schema, manifest, yamlfile
from toolkit.formats.manifest import Manifest
from toolkit.formats.yamlfile import YamlFile

VERSION = 1
SCHEMA_FILE = Path(__file__).parent / "schemas" / f"matrix-file-v{VERSION}.json"


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((value for value, times in Counter(values).items() if times > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice")
    return values


Text = Annotated[str, Field(min_length=1)]
Values = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(_distinct)]
Globs = Text | Annotated[tuple[Text, ...], Field(min_length=1)]


class Axes(Manifest):
    """The values of each axis; the cells are all of their combinations."""

    series: Values = ("none",)
    kernel: Values = ()  # the default of build-and-test
    config: Values = ("tiny",)
    profile: Values = ("none",)
    toolchain: Values = ("gcc",)
    arch: Values = ("x86_64",)
    image: Values = ("minimal",)
    suite: Values = ()  # those that each series names


class Included(Manifest):
    """One more cell. An axis that it does not name has the value that a matrix without it has."""

    series: Text = ""
    kernel: Text = ""
    config: Text = ""
    profile: Text = ""
    toolchain: Text = ""
    arch: Text = ""
    image: Text = ""
    suite: Text = ""


class Match(Manifest):
    """Picks cells: by a glob for an axis, or several of which one has to fit."""

    series: Globs = ()
    kernel: Globs = ()
    config: Globs = ()
    profile: Globs = ()
    toolchain: Globs = ()
    arch: Globs = ()
    image: Globs = ()
    suite: Globs = ()

    @property
    def globs(self) -> dict[str, tuple[str, ...]]:
        """The globs of each axis that is named."""
        named = {axis: getattr(self, axis) for axis in AXES if getattr(self, axis)}
        return {axis: (each,) if isinstance(each, str) else each for axis, each in named.items()}

    @model_validator(mode="after")
    def _names_an_axis(self) -> Match:
        if not self.globs:
            raise ValueError(f"name at least one of {', '.join(AXES)}")
        return self


class Known(Manifest):
    """A test that is expected to fail. ``test`` is a glob over suite/program/case."""

    test: Text
    reason: Text


class Settings(Manifest):
    """How cells are tested: those that ``match`` picks, or all without it; a later one wins."""

    match: Match | None = None
    slow: StrictBool | None = None
    repeat: StrictInt | None = Field(default=None, ge=1, le=1000)
    baseline: StrictBool | None = None
    accel: Literal["auto", "kvm", "tcg"] | None = None
    deadline: float | None = Field(default=None, ge=1, le=10_000_000)  # seconds for a task
    known_failures: tuple[Known, ...] = ()


class MatrixManifest(Manifest):
    """The whole file."""

    title: Text = "Matrix"
    axes: Axes
    include: tuple[Included, ...] = ()
    exclude: tuple[Match, ...] = ()
    settings: tuple[Settings, ...] = ()
    shard_seconds: float = Field(default=300.0, ge=1, le=1_000_000)  # that a shard should take


def read(path: Path) -> tuple[MatrixManifest, YamlFile]:
    """Return what a file says, and the file with its lines.

    Raises :class:`~toolkit.core.errors.UserError` for whatever is wrong with it.
    """
    file = yamlfile.read(path)
    return manifest.check(file, MatrixManifest), file


def schema_text() -> str:
    """Return the JSON Schema as it stands in its file."""
    return json_schema.text(MatrixManifest.model_json_schema(by_alias=True))


if __name__ == "__main__":
    SCHEMA_FILE.parent.mkdir(exist_ok=True)
    SCHEMA_FILE.write_text(schema_text())
