"""Kernels that are built in another way than by default, on real machines."""

from __future__ import annotations

import json

import pytest

from tests.vm.conftest import SHARED_KERNEL, SIGNED, SIGNS, Toolkit


@pytest.mark.skipif(not SIGNS, reason="needs openssl and libssl-dev")
def test_a_kernel_that_wants_its_modules_signed_and_compressed_gets_to_load_them(
    toolkit: Toolkit,
) -> None:
    stray = ["env", "LOCALVERSION=-stray", "KCFLAGS=-Wstray", "LLVM=1", "INSTALL_MOD_STRIP=1"]
    ended = toolkit.run("build-and-test", *SHARED_KERNEL, "--test", "*args*", wrapper=stray)
    assert ended.code == 0, ended
    assert "CONFIG_CRYPTO_SHA256=y (was n)" in ended.err  # Debian hashes what it loads
    statuses = ended.statuses()
    assert "skip" not in statuses.values(), "KVM's modules were not loaded"
    config = (ended.folder / "kernel.config").read_text().splitlines()
    assert set(SIGNED) <= set(config)
    result = json.loads((ended.folder / "result.json").read_text())
    assert "stray" not in result["release"]
    assert result["environment"]["toolchain"] == "gcc"
