"""A matrix of runs: its cells, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.core.model.series import KnownFailure

AXES = ("series", "kernel", "config", "profile", "toolchain", "arch", "image", "suite")


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a matrix: a value of each axis, and how it is tested.

    An empty ``series`` is the unpatched base, an empty ``suite`` stands for those that the series
    names, and an empty ``profile`` for none.
    """

    series: str
    kernel: str
    config: str
    profile: str
    toolchain: str
    arch: str
    image: str
    suite: str
    slow: bool = False
    repeat: int = 1
    baseline: bool = False
    accel: str = "auto"
    seconds: float = 7200.0  # that each of its tasks may take
    known_failures: tuple[KnownFailure, ...] = ()

    @property
    def axes(self) -> dict[str, str]:
        """The value of each axis; they tell the cells of a matrix apart."""
        return {axis: getattr(self, axis) for axis in AXES}
