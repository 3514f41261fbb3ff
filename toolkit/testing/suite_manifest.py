"""What a suite's ``suite.yaml`` and ``allow.yaml`` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from toolkit.formats.manifest import Manifest

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _target(text: str) -> str:
    parts = text.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError(f"{text!r} is no path below tools/testing/selftests")
    return text


class SuiteManifest(Manifest):
    """A whole ``suite.yaml``: a suite whose sources are in the kernel tree."""

    upstream: Annotated[Text, AfterValidator(_target)]  # a folder below tools/testing/selftests
    timeouts: dict[Text, Seconds] = Field(default_factory=dict)  # by glob over program names
    memory_mib: int = Field(default=0, ge=0)  # what a machine needs where its image gives less


class Allowed(Manifest):
    """What cannot work. ``test`` is a glob over what follows the suite in a leaf's id."""

    test: Text
    reason: Text
    action: Literal["xfail", "skip"] = "xfail"  # skip: it is not even started
    accel: Literal["", "kvm", "tcg"] = ""  # the accelerator under which that is so; "": any


class AllowManifest(Manifest):
    """A whole ``allow.yaml``."""

    allow: tuple[Allowed, ...]
