"""What a run has come to: the results of its stages, and what its tests showed."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.core.model.comparison import Comparison, PatchStep
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.machine import Accelerator, GuestImage, Splat
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite, Leaf


@dataclass(frozen=True, slots=True)
class Reached:
    """The results of a run's stages; a field is None until its stage is done.

    A new run may be given some of them: what a saved build holds, or what another run made.
    """

    # what is built
    base: KernelBase | None = None
    series: PatchSeries | None = None  # None for the unpatched base, too
    tree: PatchedTree | None = None
    fragments: tuple[Fragment, ...] | None = None
    config: KernelConfig | None = None
    compiler: str = ""
    kernel: KernelBuild | None = None
    built_suites: tuple[BuiltSuite, ...] | None = None
    baseline: KernelBuild | None = None  # the base's kernel, where a saved build has it
    # where it runs
    image: GuestImage | None = None
    accelerator: Accelerator | None = None
    qemu_version: str = ""
    machines: bool = False  # there is a pool of machines to ask

    @property
    def testable(self) -> bool:
        """Whether there is all that a machine needs to run a test."""
        needed = (self.kernel, self.built_suites, self.image, self.accelerator)
        return all(each is not None for each in needed)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the tests showed: the run's leaves as they count for its verdict, and their evidence.

    ``comparison`` is set beside a base, ``steps`` where each patch was tested.
    """

    leaves: tuple[Leaf, ...] = ()
    splats: tuple[Splat, ...] = ()
    comparison: Comparison | None = None
    steps: tuple[PatchStep, ...] = ()
