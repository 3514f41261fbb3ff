from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase, KernelBuild, Prebuilt
from toolkit.core.model.machine import GuestImage
from toolkit.core.model.series import KnownFailure, Patch, PatchSeries
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.workflow import saved_build
from toolkit.workflow.saved_build import Bundle


@pytest.fixture
def made(tmp_path: Path) -> Bundle:
    cache = tmp_path / "cache"
    for name in (
        "build/kernel",
        "build/modules.tar",
        "build/config",
        "image/initrd",
        "suite/a_test",
    ):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text(name)
    (cache / "build/headers").mkdir()
    build = cache / "build"
    return Bundle(
        kernel=KernelBuild(
            build,
            "key",
            "6.12.1",
            build / "kernel",
            "digest",
            build / "modules.tar",
            build / "headers",
            build / "config",
        ),
        image=GuestImage(
            "minimal",
            "key",
            cache / "image/initrd",
            None,
            ("quiet",),
            512,
            2,
            "q35",
            (),
            "dropbear",
        ),
        suites=(BuiltSuite("kvm", cache / "suite", (TestProgram("kvm", "a_test", 60.0),)),),
        base=KernelBase("debian:6.12", "6.12.1", cache / "source", "key"),
        series=PatchSeries(
            "iosignalfd/v4",
            "title",
            "6.12",
            (Patch("0001-a.patch", "KVM: a", b"\xff\x00 no UTF-8", Path("/secret")),),
            known_failures=(KnownFailure("kvm/*", "why"),),
            origin=Path("/secret"),
        ),
    )


def test_what_is_saved_can_be_moved_and_loaded(made: Bundle, tmp_path: Path) -> None:
    saved_build.save(made, tmp_path / "saved")
    assert "secret" not in (tmp_path / "saved/bundle.json").read_text()
    assert str(tmp_path) not in (tmp_path / "saved/bundle.json").read_text()
    moved = (tmp_path / "saved").rename(tmp_path / "moved")
    loaded = saved_build.load(moved)
    assert loaded.kernel.image.read_text() == "build/kernel"
    assert loaded.kernel.modules is not None
    assert loaded.kernel.modules.read_text() == "build/modules.tar"
    assert loaded.image.initrd is not None
    assert loaded.image.initrd.read_text() == "image/initrd"
    (suite,) = loaded.suites
    assert (suite.path / "a_test").read_text() == "suite/a_test"
    assert suite.programs == made.suites[0].programs
    assert loaded.series is not None
    assert made.series is not None
    assert loaded.series.known_failures == made.series.known_failures
    assert [patch.subject for patch in loaded.series.patches] == ["KVM: a"]


def test_the_kernel_to_compare_with_comes_along(made: Bundle, tmp_path: Path) -> None:
    saved_build.save(made, tmp_path / "alone")
    assert saved_build.load(tmp_path / "alone").baseline is None
    other = tmp_path / "other"
    shutil.copytree(made.kernel.path, other)
    (other / "kernel").write_text("unpatched")
    base = replace(made.kernel, path=other, image=other / "kernel", modules=None)
    saved_build.save(replace(made, baseline=base), tmp_path / "saved")
    loaded = saved_build.load((tmp_path / "saved").rename(tmp_path / "moved"))
    assert loaded.baseline
    assert loaded.baseline.image.read_text() == "unpatched"
    assert loaded.kernel.image.read_text() == "build/kernel"
    loaded.baseline.image.unlink()
    with pytest.raises(UserError, match="lacks kernel"):
        saved_build.load(tmp_path / "moved")


def test_a_packaged_kernel_keeps_its_name_and_what_it_needs_early(
    made: Bundle, tmp_path: Path
) -> None:
    prebuilt = Prebuilt(tmp_path / "prebuilt", "key", "6.12.1", "linux-image-6.12.1 6.12.1-1")
    early = ("kernel/drivers/net/virtio_net.ko",)
    bundle = replace(
        made,
        base=replace(made.base, prebuilt=prebuilt),
        kernel=replace(made.kernel, early=early),
    )
    saved_build.save(bundle, tmp_path / "saved")
    assert str(tmp_path) not in (tmp_path / "saved/bundle.json").read_text()
    loaded = saved_build.load(tmp_path / "saved")
    assert loaded.kernel.early == early
    assert loaded.base.prebuilt
    assert loaded.base.prebuilt.package == prebuilt.package


def test_an_unpatched_base_has_no_series(made: Bundle, tmp_path: Path) -> None:
    saved_build.save(replace(made, series=None), tmp_path / "saved")
    assert saved_build.load(tmp_path / "saved").series is None


def test_a_folder_with_something_in_it_is_left_alone(made: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        saved_build.save(made, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_what_is_no_bundle_or_half_of_one_is_refused(made: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UserError, match="holds no saved build"):
            saved_build.load(place)
    saved_build.save(made, tmp_path / "saved")
    (tmp_path / "saved/kernel/modules.tar").unlink()
    with pytest.raises(UserError, match=r"lacks modules\.tar"):
        saved_build.load(tmp_path / "saved")
    text = (tmp_path / "saved/bundle.json").read_text()
    (tmp_path / "saved/bundle.json").write_text(
        text.replace(f'"version": {saved_build.VERSION}', '"version": 9')
    )
    with pytest.raises(UserError, match="has version 9"):
        saved_build.load(tmp_path / "saved")
    (tmp_path / "saved/bundle.json").write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match="is damaged"):
        saved_build.load(tmp_path / "saved")
