"""An edit that is built by kbuild's recorded commands gives the bytes that make gives."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import pytest

from tests.vm.conftest import PROJECT, Toolkit
from toolkit.core.paths import APP
from toolkit.kernel.toolchain import CLANG, GCC

_OBJECT = "virt/kvm/iosignalfd.o"
_LINE = "(GFP_KERNEL_ACCOUNT | __GFP_NOWARN)"  # in a patch of v4


def edited(folder: Path, flag: str) -> Path:
    """Return a copy of v4 that allocates with another flag, so that its code differs."""
    folder = folder / f"v4{flag}"
    shutil.copytree(PROJECT / "patches/iosignalfd/v4", folder)
    for patch in folder.glob("6.12/*.patch"):
        patch.write_text(patch.read_text().replace(_LINE, f"{_LINE[:-1]} | {flag})"))
    return folder


def built(
    toolkit: Toolkit, series: Path, *words: str, wrapper: Sequence[str] = ()
) -> tuple[Path, dict[str, str], str]:
    """Build; return the entry, digests of all that was made for modules, and make's log."""
    ended = toolkit.run("build", "--patch", str(series), *words, wrapper=wrapper)
    assert ended.code == 0, ended
    entry = Path(ended.out.splitlines()[0])
    digests = {}
    with tarfile.open(entry / "modules.tar") as archive:
        for member in archive:
            if content := archive.extractfile(member):
                digests[member.name] = hashlib.sha256(content.read()).hexdigest()
    work = platformdirs.user_cache_path(APP) / "work/kernel"
    records = [*work.glob("*/out-*/.toolkit-built"), *work.glob("*/*-out-*/.toolkit-built")]
    output = max(records, key=lambda path: path.stat().st_mtime).parent
    symvers = (output / "Module.symvers").read_bytes()
    digests["Module.symvers"] = hashlib.sha256(symvers).hexdigest()
    return entry, digests, (ended.folder / "build.log").read_text()


@pytest.mark.parametrize(
    "compiler",
    [
        GCC.name,
        pytest.param(
            CLANG.name,
            marks=pytest.mark.skipif(bool(CLANG.missing()), reason="needs clang and lld"),
        ),
    ],
)
def test_a_replayed_edit_has_the_bytes_of_one_that_make_built(
    toolkit: Toolkit, tmp_path: Path, compiler: str
) -> None:
    words = ("--toolchain", compiler)
    one, other = edited(tmp_path, "__GFP_NORETRY"), edited(tmp_path, "__GFP_RETRY_MAYFAIL")
    # An earlier run of this test may have left both in the cache, so only the third one is sure to
    # bring the work folder to a state from which the next is an edit of one module.
    for series in (one, other, other):
        shutil.rmtree(built(toolkit, series, *words)[0])
    entry, replayed, log = built(toolkit, one, *words)
    assert log.startswith(f"  CC [M]  {_OBJECT}\n"), "nothing was replayed"
    _, different, _ = built(toolkit, other, *words)
    assert different != replayed
    shutil.rmtree(entry)
    no_ccache = ["env", "CCACHE_DISABLE=1"]  # which has the object that was replayed
    _, made, log = built(toolkit, one, *words, "--no-replay", wrapper=no_ccache)
    assert log.startswith("$ make ")
    assert _OBJECT in log
    assert made == replayed
    assert any(name.endswith("/kvm.ko") for name in made)
