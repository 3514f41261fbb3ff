"""The distribution's own kernel under the modules of a series, on real machines."""

from __future__ import annotations

import platform

import pytest

from tests.vm.conftest import Toolkit

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="there is no other package")
KERNEL = ("--kernel", "debian-image:6.12")


def test_a_series_of_modules_runs_on_the_packaged_kernel(toolkit: Toolkit) -> None:
    ended = toolkit.run("build-and-test", "--patch", "v4", *KERNEL, "--test", "*args*")
    assert ended.code == 0, ended
    assert "the whole kernel is built" not in ended.err
    result = ended.result
    assert result["release"].endswith("-cloud-amd64")
    package = result["environment"]["package"]
    assert package.startswith(f"linux-image-{result['release']} ")
    assert "skip" not in ended.statuses().values(), "KVM's modules were not loaded"
    console = (ended.folder / "console.log").read_text(errors="replace")
    assert "disagrees about version of symbol" not in console
    assert "version magic" not in console


def test_the_unpatched_package_boots_as_it_is(toolkit: Toolkit) -> None:
    ended = toolkit.run("boot", "--suite", "kvm", *KERNEL)
    assert ended.code == 0, ended
    assert "-cloud-amd64" in ended.out
    assert "LD [M]" not in (ended.folder / "build.log").read_text()
