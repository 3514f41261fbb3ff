"""What a ``series.yaml`` may say."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from toolkit.formats.manifest import Manifest

_OPTION = re.compile(r'CONFIG_[A-Za-z0-9_]+=(y|m|n|-?\d+|0x[0-9a-fA-F]+|".*")')
_UNSET = re.compile(r"# CONFIG_[A-Za-z0-9_]+ is not set")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_TARGET = re.compile(rf"upstream:{_NAME.pattern}(/{_NAME.pattern})*")


def _option(text: str) -> str:
    if not (_OPTION.fullmatch(text) or _UNSET.fullmatch(text)):
        raise ValueError(f"{text!r} is not of the form CONFIG_NAME=y")
    return text


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError(f"{text!r} is no kernel version such as 6.12")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no plain file name")
    return text


def _suite(text: str) -> str:
    return text if _TARGET.fullmatch(text) else _name(text)


Option = Annotated[str, AfterValidator(_option)]
Version = Annotated[str, AfterValidator(_version)]
Name = Annotated[str, AfterValidator(_name)]
SuiteName = Annotated[str, AfterValidator(_suite)]
Text = Annotated[str, Field(min_length=1)]


class Base(Manifest):
    """The patches for one kernel, or for several that they fit."""

    kernels: tuple[Version, ...] = ()  # 6.12 serves every 6.12.x; default: the base's own name
    folder: Name | None = None  # default: the base's own name
    order: tuple[Name, ...] = ()  # file names; default: sorted


class Known(Manifest):
    """A test that is expected to fail. ``test`` is a glob over suite/program/case."""

    test: Text
    reason: Text
    review: str = ""  # the line of a review that names it


class Unrun(Manifest):
    """Lines that no test runs, and why: by their text, by the function they are in, or both."""

    file: Text
    line: str = ""  # white space around it does not count
    function: str = ""
    reason: Text

    @model_validator(mode="after")
    def _named(self) -> Unrun:
        if not (self.line.strip() or self.function):
            raise ValueError("name a line or a function")
        return self


class Survives(Manifest):
    """Mutants that no test can kill, and why (docs/mutate.md).

    They are named by a file, with a line's text, a function or both, and an operator where only its
    mutants are meant; or by the name of a fault that somebody wrote.
    """

    file: str = ""
    line: str = ""  # white space around it does not count
    function: str = ""
    operator: str = ""
    fault: str = ""
    equivalent: bool = False  # no test can tell it from the series, whatever it does
    reason: Text

    @model_validator(mode="after")
    def _named(self) -> Survives:
        named = self.file and (self.line.strip() or self.function)
        if bool(named) == bool(self.fault):
            raise ValueError("name a file with a line or a function, or else a fault")
        return self


class SeriesManifest(Manifest):
    """A whole ``series.yaml``."""

    title: Text
    bases: dict[Name, Base | None] = Field(min_length=1)
    kconfig: tuple[Option, ...] = ()
    suites: tuple[SuiteName, ...] = ()  # upstream:TARGET: one that the tree itself has
    known_failures: tuple[Known, ...] = ()
    unrun: tuple[Unrun, ...] = ()
    survives: tuple[Survives, ...] = ()
    links: tuple[Text, ...] = ()
