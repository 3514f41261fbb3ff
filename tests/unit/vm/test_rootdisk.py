import io
import tarfile
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.observer import Silent
from toolkit.vm import rootdisk
from toolkit.vm.rootdisk import Recipe, mmdebstrap_argv, overlay

RECIPE = Recipe(
    suite="bookworm",
    packages=("systemd", "openssh-server"),
    enable=("a.service",),
    mask=("b c.timer",),
    files={"/etc/x": (b"text", 0o600)},
    folders={"/root/.ssh": 0o700},
    size_mib=512,
)


def test_overlay_belongs_to_root_and_is_reproducible() -> None:
    data = overlay(RECIPE.files, RECIPE.folders)
    assert data == overlay(RECIPE.files, RECIPE.folders)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(info.name, info.mode, info.uid, info.gid, info.mtime) for info in tar]
    assert members == [("root/.ssh", 0o700, 0, 0, 0), ("etc/x", 0o600, 0, 0, 0)]


def test_the_images_own_host_keys_are_removed_and_units_set_up_after_the_files() -> None:
    line = mmdebstrap_argv(RECIPE, "mmdebstrap", Path("/w/root.tar"), Path("/w/files tar"))
    hooks = [word.partition("=")[2] for word in line if word.startswith("--customize-hook=")]
    assert hooks[0] == "tar-in '/w/files tar' /"
    assert hooks[1] == 'rm -f "$1"/etc/ssh/ssh_host_*'
    assert hooks[2:] == [
        'chroot "$1" systemctl enable a.service',
        "chroot \"$1\" systemctl mask 'b c.timer'",
    ]
    assert line[-3:] == ["bookworm", "/w/root.tar", "-"]


def test_a_host_without_sources_for_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mmdebstrap", "apt-get", "mke2fs", "fakeroot"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(InfrastructureError, match="no source for bookworm") as caught:
        rootdisk.build(RECIPE, tmp_path / "disk", Silent(), Deadline.after(60))
    assert "apt-get update" in caught.value.hint


def test_a_package_that_nobody_has_is_the_callers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {
        "apt-get": "echo 'Debian|bookworm|http://127.0.0.1|bookworm|main|'",
        "mmdebstrap": "echo 'E: Unable to locate package ethtol' >&2; exit 100",
    }
    for name, script in {"mke2fs": "", "fakeroot": "", **scripts}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UserError, match="bookworm has no package 'ethtol'"):
        rootdisk.build(RECIPE, tmp_path / "disk", Silent(), Deadline.after(60))
