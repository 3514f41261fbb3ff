from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_kernels import Laboratory, Watcher, patches
from toolkit.core import paths
from toolkit.core.arch import ARM64, X86_64
from toolkit.core.model.kernel import Fragment, KernelBuild, Prebuilt
from toolkit.core.model.series import PatchedTree
from toolkit.kernel.prebuilt import stage
from toolkit.kernel.prebuilt.stage import Taken
from toolkit.kernel.starting_config import StartingConfig
from toolkit.kernel.toolchain import Toolchain
from toolkit.workflow import packaged
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

PROJECT = Path(__file__).parents[3]
REASON = "the series changes kernel/fork.o, which is in the kernel itself"


class Heard(Watcher):
    """Remembers the notices as well."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Shop:
    """Stands in for what builds on a package: it gives ``taken`` and remembers what was asked."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config").write_text("CONFIG_KVM=m\nCONFIG_MODVERSIONS=y\n")
        (tmp_path / "kernel").write_text("")
        place = tmp_path / "kernel"
        self.kernel = KernelBuild(
            *(tmp_path, "taken", "6.12.117+deb12-cloud-amd64", place, "digest", None),
            headers=tmp_path,
            config=tmp_path / "config",
        )
        self.taken = Taken(self.kernel)
        self.asked: list[tuple[PatchedTree, Sequence[Fragment], set[str]]] = []
        monkeypatch.setattr(stage, "take", self._take)

    def _take(
        self, _: Any, tree: PatchedTree, __: Any, fragments: Any, early: Any, **___: Any
    ) -> tuple[Taken, bool]:
        self.asked.append((tree, fragments, early))
        return self.taken, False


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    return Laboratory(tmp_path, monkeypatch)


def a_run(laboratory: Laboratory, observer: Heard, *words: str, **request: Any) -> Run:
    """Return a run whose base has a packaged kernel."""
    run = laboratory.run(patches(*words), observer=observer, suites=("kvm",), **request)
    prebuilt = Prebuilt(laboratory.tmp_path, "package", "6.12.117", "linux-image 6.12.117-1")
    base = replace(run.base, prebuilt=prebuilt)
    run._reached = replace(run.reached, base=base)
    return run


def test_a_run_has_the_packaged_kernel_and_its_configuration(
    laboratory: Laboratory, shop: Shop
) -> None:
    run = a_run(laboratory, Heard(), "fine")
    assert run.config.text == shop.kernel.config.read_text()
    assert run.kernel is shop.kernel
    assert run.reached.compiler
    assert (run.folder / "kernel.config").read_text() == run.config.text
    ((tree, fragments, early),) = shop.asked
    assert tree.files
    assert "CONFIG_VIRTIO_NET" in early
    assert "CONFIG_KVM_AMD" not in early  # a suite's, and no machine needs it to come up
    assert not any("CONFIG_NR_CPUS" in each.options for each in fragments)  # of a tiny kernel
    assert run.test().leaves


def test_a_series_that_reaches_the_kernel_takes_the_whole_way_and_that_is_said_once(
    laboratory: Laboratory, shop: Shop
) -> None:
    shop.taken = Taken(None, REASON)
    observer = Heard()
    run = a_run(laboratory, observer, "fail alpha")
    assert run.kernel.release == "6.12.117"
    assert run.base.prebuilt is None
    assert run.tree.base.prebuilt is None
    assert observer.notices == [
        f"the whole kernel is built, not taken from linux-image 6.12.117-1: {REASON}"
    ]
    assert len(shop.asked) == 1


def test_what_else_there_is_to_say_is_said(laboratory: Laboratory, shop: Shop) -> None:
    shop.taken = Taken(shop.kernel, notice="Kconfig dropped CONFIG_GONE=y")
    observer = Heard()
    _ = a_run(laboratory, observer, "fine").kernel
    assert observer.notices == ["Kconfig dropped CONFIG_GONE=y"]


def test_the_base_beside_it_is_packaged_as_well_and_asked_for_no_more_than_it_has(
    laboratory: Laboratory, shop: Shop
) -> None:
    run = a_run(laboratory, Heard(), "fine")
    _ = run.kernel
    sibling = run.sibling("base", None)
    assert sibling.kernel is shop.kernel
    tree, fragments, _ = shop.asked[-1]
    assert not tree.files
    assert all(each.soft for each in fragments)


def test_whoever_needs_a_whole_kernel_gets_one(laboratory: Laboratory, shop: Shop) -> None:
    observer = Heard()
    run = a_run(laboratory, observer, "fine")
    run.build_whole("mutants are made beside it")
    assert run.kernel is not shop.kernel
    assert observer.notices[0].endswith(": mutants are made beside it")
    run.build_whole("again")
    assert len(observer.notices) == 1
    assert shop.asked == []


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(None, arch=X86_64), ""),
        (Request(None, arch=ARM64), "packaged kernels are for x86_64 alone"),
        (Request(None, arch=X86_64, start=StartingConfig("defconfig")), "--config defconfig is"),
        (Request(None, arch=X86_64, toolchain=Toolchain("gcc", kcflags="-O1")), "the package was"),
        (Request(None, arch=X86_64, image="debian"), "the image debian boots from a disk"),
    ],
)
def test_what_no_package_has_is_known_before_anything_is_built(
    request_: Request, reason: str
) -> None:
    fault = packaged.fault(request_, paths.resolve(PROJECT))
    assert fault.startswith(reason)
    assert bool(fault) == bool(reason)
