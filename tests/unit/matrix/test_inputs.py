from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.matrix.fake_pool import cell
from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.core.model.matrix import Cell
from toolkit.core.paths import Paths
from toolkit.matrix import inputs, parcel, version

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Return a small checkout: a series, a suite, an image."""
    root = tmp_path / "root"
    for name in ("patches/topic/v1/6.12/0001-a.patch", "kselftests/kvm/Makefile"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(name)
    (root / "patches/topic/v1/series.yaml").write_text("title: x\nbases: {'6.12': }")
    (root / "kselftests/kvm/__pycache__").mkdir()
    (root / "kselftests/kvm/run.sh").write_text("#!/bin/sh\n")
    (root / "kselftests/kvm/run.sh").chmod(0o755)
    (root / "kselftests/kvm/link").symlink_to("run.sh")
    (root / "vm-images/minimal").mkdir(parents=True)
    (root / "vm-images/minimal/image.yaml").write_text("memory-mib: 512")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return paths.resolve(root)


def names(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: entry for entry in tar}


def plain(series: str = "v1", **more: str) -> Cell:
    return replace(cell(series, "debian:6.12"), **more)  # type: ignore[arg-type]


def test_what_the_cells_name_is_in_the_archive(places: Paths) -> None:
    its = inputs.gather([plain()], places)
    assert its.cells == (plain("topic/v1"),)
    entries = names(its.archive)
    assert [name for name in entries if "." in name] == [
        "kselftests/kvm/run.sh",
        "patches/topic/v1/6.12",
        "patches/topic/v1/6.12/0001-a.patch",
        "patches/topic/v1/series.yaml",
        "vm-images/minimal/image.yaml",
    ]
    assert entries["kselftests/kvm/run.sh"].mode == 0o755
    assert entries["kselftests/kvm/Makefile"].mode == 0o644
    assert entries["kselftests/kvm/link"].linkname == "run.sh"
    assert {(each.uid, each.mtime) for each in entries.values()} == {(0, 0)}


def test_the_same_files_give_the_same_archive(places: Paths) -> None:
    before = inputs.gather([plain()], places)
    for path in places.root.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert inputs.gather([plain()], places).digest == before.digest
    (places.root / "kselftests/kvm/run.sh").chmod(0o644)
    assert inputs.gather([plain()], places).digest != before.digest


def test_a_checkout_without_a_series_has_the_folder(places: Paths) -> None:
    assert "patches" in names(inputs.gather([plain("")], places).archive)


def test_what_lies_outside_the_checkout_goes_with_it(
    places: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (
        ("mine/0001-b.patch", "b"),
        ("quilt/series", "c.patch"),
        ("quilt/c.patch", "c"),
        ("it.mbox", "From x"),
        ("my.config", "CONFIG_FOO=y\n"),
        ("suite/Makefile", "include ../lib.mk"),
        ("image/image.yaml", "x: y"),
        ("prog", "#!/bin/sh\n"),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content)
    Path("prog").chmod(0o755)
    its = inputs.gather(
        [
            plain("./mine", config="./my.config", profile="debug+./my.config", suite="./suite"),
            plain("quilt/series", image="./image", suite="program:./prog"),
            plain(str(tmp_path / "it.mbox"), kernel="git:./linux@v6.12"),
            plain(str(places.patches / "topic/v1/6.12"), kernel="tree:./mine"),
        ],
        places,
    )
    place = inputs.PLACE
    one, two, three, four = its.cells
    assert one.series == f"{place}/given/0/mine"
    assert one.config == f"{place}/given/1/my.config"
    assert one.profile == f"debug+{place}/given/1/my.config"
    assert one.suite == f"{place}/given/2/suite"
    assert two.series == f"{place}/given/3/quilt/series"
    assert two.suite.startswith(f"program:{place}/given/")
    assert two.image.startswith(f"{place}/given/")
    assert three.kernel == f"git:{tmp_path}/linux@v6.12"
    assert four.series == f"{place}/patches/topic/v1/6.12"
    assert four.kernel == f"tree:{tmp_path}/mine"
    entries = names(its.archive)
    for each in its.cells:
        for value in (each.series, each.config, each.suite, each.image):
            if place in value:
                assert value.partition(f"{place}/")[2] in entries


def test_revisions_and_addresses_stay(places: Paths, tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    kernels = [
        "debian:6.12",
        f"git:{tmp_path}/linux@v6.12",
        "tarball:https://example.org/x.tar.xz#sha256=00",
        "auto:",
    ]
    its = inputs.gather([plain(kernel=kernel) for kernel in kernels], places)
    assert [each.kernel for each in its.cells] == kernels
    commits = f"git:{tmp_path}/linux@a..b"
    assert inputs.gather([plain(commits)], places).cells[0].series == commits


def test_it_is_unpacked_as_it_was(places: Paths, tmp_path: Path) -> None:
    parcel.unpack(inputs.gather([plain()], places).archive, tmp_path / "there")
    command = ["diff", "-r", "--exclude=__pycache__", str(places.root), str(tmp_path / "there")]
    assert subprocess.run(command, check=False, capture_output=True).stdout == b""
    paths.resolve(tmp_path / "there")


def test_what_is_no_file_is_refused(places: Paths) -> None:
    os.mkfifo(places.suites / "kvm/pipe")
    with pytest.raises(UserError, match="pipe is a device or a pipe"):
        inputs.gather([plain()], places)


def test_too_much_is_refused(places: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="what the matrix needs has more than"):
        inputs.gather([plain()], places)


def test_this_checkout_is_small() -> None:
    its = inputs.gather([plain("v4")], paths.resolve(PROJECT))
    assert len(its.archive) < 2 << 20
    assert len(gzip.decompress(its.archive)) < inputs.MAX_BYTES


def test_each_version_of_the_toolkit_has_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    (tmp_path / "__pycache__").mkdir()
    before = version._digest(tmp_path)
    (tmp_path / "__pycache__/a.pyc").write_text("x")
    assert version._digest(tmp_path) == before
    (tmp_path / "a.py").write_text("y")
    assert version._digest(tmp_path) != before
