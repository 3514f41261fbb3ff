"""A run on the kernel that a distribution built: whether that will do, and what is built on it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core.arch import X86_64
from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Fragment, KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.core.observer import Observer
from toolkit.core.paths import Paths
from toolkit.core.stages import StageLog
from toolkit.host.cache import digest
from toolkit.kernel import starting_config
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.prebuilt import stage
from toolkit.kernel.prebuilt.stage import Taken
from toolkit.vm import image
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request
from toolkit.workflow.stage_work import OF_IMAGE


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to take the packaged kernel of a run's base; logs lie in the run's ``folder``."""

    builder: Builder
    stages: StageLog
    folder: Path
    deadline: Deadline

    def reached(self, reached: Reached, tree: PatchedTree, asked: Sequence[Fragment]) -> Reached:
        """Return what a run has reached with its packaged kernel, or without one for good.

        ``asked`` are the options that everybody asks for. Raises :class:`BuildError`.
        """
        prebuilt = tree.base.prebuilt
        assert prebuilt is not None
        boots = [each for each in asked if each.origin.startswith(OF_IMAGE)]
        early = {option for each in boots for option in each.options}

        def work() -> tuple[Taken, bool, str]:
            log, deadline = self.folder / "build.log", self.deadline
            taken, cached = stage.take(
                self.builder, tree, prebuilt, asked, early, deadline=deadline, log=log
            )
            if taken.kernel is None:
                return taken, cached, "the packaged kernel will not do"
            return taken, cached, f"Linux {taken.kernel.release}, from its package"

        taken, observer = self.stages.run("build", work), self.builder.observer
        if taken.notice:
            observer.notice(taken.notice)
        if taken.kernel is None:
            return without(reached, observer, taken.reason)
        shutil.copyfile(taken.kernel.config, self.folder / "kernel.config")
        text = taken.kernel.config.read_text()
        return replace(
            reached,
            config=KernelConfig(text, digest(text)),
            compiler=self.builder.compiler(self.deadline),
            kernel=taken.kernel,
        )


def fault(request: Request, paths: Paths) -> str:
    """Return why no packaged kernel will do for what is asked of a run, or ""."""
    if request.arch.name != X86_64.name:
        return f"packaged kernels are for {X86_64.name} alone"
    if request.start != starting_config.TINY:
        return f"--config {request.start.name} is another configuration than the package's"
    if request.toolchain and request.toolchain.kcflags:
        return "the package was not compiled with what --kcflags says"
    parsed = image.read_manifest(request.image, paths.images, request.arch, request.packages)
    if parsed.initramfs is None:
        return f"the image {request.image} boots from a disk, and has no initramfs for its driver"
    return ""


def without(reached: Reached, observer: Observer, reason: str) -> Reached:
    """Say why the packaged kernel of the base will not do, and return the rest of ``reached``."""
    base, tree = reached.base, reached.tree
    if base is None or base.prebuilt is None:
        return reached
    observer.notice(f"the whole kernel is built, not taken from {base.prebuilt.package}: {reason}")
    base = replace(base, prebuilt=None)
    return replace(reached, base=base, tree=tree and replace(tree, base=base))
