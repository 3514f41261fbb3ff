from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests import a_result
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import Accelerator, GuestImage
from toolkit.core.model.series import Patch, PatchSeries
from toolkit.core.model.testing import BuiltSuite, Leaf, Status, TestProgram
from toolkit.formats import cpio
from toolkit.workflow import reproducer
from toolkit.workflow.reproducer import Kit
from toolkit.workflow.saved_build import Bundle

LEAF = Leaf("kvm/iosignalfd_args_test/case_03", Status.FAIL, "wanted EINVAL")
RESULT = a_result.failed()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = tmp_path / "made"
    suite = made / "suite"
    (suite / "lib").mkdir(parents=True)
    (suite / "iosignalfd_args_test").write_bytes(b"\x7fELF")
    (suite / "iosignalfd_args_test").chmod(0o755)
    (suite / "b c").write_bytes(b"\x7fELF")
    (suite / "lib/helper.sh").write_text("true\n")
    (suite / "link").symlink_to("lib/helper.sh")
    for name in ("kernel", "config"):
        (made / name).write_text(name)
    (made / "initrd").write_bytes(gzip.compress(b"the image", mtime=0) + b"x")
    (made / "kvm.ko").write_text("module")
    with tarfile.open(made / "modules.tar", "w") as tar:
        tar.add(made / "kvm.ko", "lib/modules/6.12.117/kernel/kvm.ko")
    image = GuestImage(
        *("minimal", "key", made / "initrd", None, ("console=ttyS0", "panic=-1"), 1024, 2, "q35"),
        ("-device", "virtio-net-pci,netdev=net0,romfile="),
        "dropbear",
    )
    programs = (TestProgram("kvm", "iosignalfd_args_test", 45.0), TestProgram("kvm", "b c", 1.0))
    series = PatchSeries("a/v1", "t", "6.12", (Patch("1", "s", b"\xff not text"),))
    return Kit(
        bundle=Bundle(
            KernelBuild(
                path=made,
                key="k",
                release="6.12.117",
                image=made / "kernel",
                image_digest="d1gest",
                modules=made / "modules.tar",
                headers=made,
                config=made / "config",
            ),
            image,
            (BuiltSuite("kvm", suite, programs),),
            KernelBase("debian:6.12", "6.12.117", made, "key"),
            series,
        ),
        accelerator=Accelerator("tcg", "max", "no kvm"),
        binary="qemu-system-x86_64",
        append=("nokaslr",),
        environment={"KSFT_SLOW": "1"},
    )


def test_a_run_remembers_what_it_was_made_of(kit: Kit, tmp_path: Path) -> None:
    reproducer.remember(kit, tmp_path)
    again = reproducer.recall(tmp_path)
    assert again.bundle.kernel == kit.bundle.kernel
    assert again.bundle.suites == kit.bundle.suites
    assert again.environment == {"KSFT_SLOW": "1"}
    assert again.bundle.series
    assert again.bundle.series.patches[0].content == b""


def test_what_is_gone_is_named(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did not come to its tests"):
        reproducer.recall(tmp_path)
    reproducer.remember(kit, tmp_path)
    kit.bundle.kernel.image.unlink()
    with pytest.raises(UserError, match="kernel is gone from the cache"):
        reproducer.recall(tmp_path)
    (tmp_path / reproducer.BUILT).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        reproducer.recall(tmp_path)


def test_the_folder_holds_everything(kit: Kit, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    script = reproducer.make(RESULT, kit, LEAF, folder)
    assert script == folder / "reproduce.sh"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README", "initrd", "kernel", "kernel.config", "modules.tar", "reproduce.sh", "tests")
    ]
    told = (folder / "README").read_text()
    assert told.startswith("kvm/iosignalfd_args_test/case_03: fail\n\nwanted EINVAL\n")
    assert "iosignalfd/v4 on Linux 6.12.117" in told


def test_the_modules_and_tests_lie_behind_the_image(kit: Kit, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    reproducer.make(RESULT, kit, LEAF, folder)
    assert kit.bundle.image.initrd
    image = kit.bundle.image.initrd.read_bytes()
    data = (folder / "initrd").read_bytes()
    assert data.startswith(image)
    at = len(image) + -len(image) % 4
    entries = {entry.path: entry for entry in cpio.unpack(data[at:])}
    assert entries["reproduce/modules/6.12.117/kernel/kvm.ko"].content == b"module"
    assert entries["kselftest/kvm/iosignalfd_args_test"].mode & 0o777 == 0o755
    assert entries["kselftest/kvm/link"].target == "lib/helper.sh"
    assert "kselftest/kvm/lib/helper.sh" in entries
    assert sorted(path.name for path in (folder / "tests").iterdir()) == [
        *("iosignalfd_args_test", "lib", "link")
    ]
    assert "kselftest/kvm/b c" not in entries
    init = entries["reproduce/init"].content.decode()
    assert "cd /kselftest/kvm || poweroff -f\n" in init
    assert "timeout 45 env KSFT_SLOW=1 ./iosignalfd_args_test </dev/null\n" in init
    # /lib is a link in some images, and an archive's folder of that name would replace it.
    assert not any(name.split("/")[0] in ("lib", "usr", "bin") for name in entries)


def test_what_does_not_build_cannot_be_repeated(kit: Kit, tmp_path: Path) -> None:
    (suite,) = kit.bundle.suites
    programs = (replace(suite.programs[0], unbuilt="no libcap"),)
    made = replace(kit.bundle, suites=(replace(suite, programs=programs),))
    with pytest.raises(UserError, match="does not build"):
        reproducer.make(RESULT, replace(kit, bundle=made), LEAF, tmp_path / "out")


def test_names_are_quoted_for_the_shell(kit: Kit, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    reproducer.make(RESULT, kit, Leaf("kvm/b c/x", Status.FAIL), folder)
    assert b"./'b c' </dev/null" in (folder / "initrd").read_bytes()
    for name in ("reproduce.sh",):
        subprocess.run(["sh", "-n", folder / name], check=True)


def test_an_image_on_a_disk_is_refused(kit: Kit, tmp_path: Path) -> None:
    image = replace(kit.bundle.image, initrd=None)
    with pytest.raises(UserError, match="boots from a disk"):
        reproducer.make(
            RESULT, replace(kit, bundle=replace(kit.bundle, image=image)), LEAF, tmp_path / "out"
        )


def test_a_folder_in_use_is_left_alone(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not empty"):
        reproducer.make(RESULT, kit, LEAF, tmp_path)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("kvm/iosignalfd_args_test/case_03", "kvm/iosignalfd_args_test/case_03"),
        ("iosignalfd_args_test", "kvm/iosignalfd_args_test/case_03"),
        ("kvm/*_stress_*", "kvm/iosignalfd_stress_test/case_09"),
    ],
)
def test_a_part_of_an_id_will_do(wanted: str, chosen: str) -> None:
    assert reproducer.choose(RESULT, wanted).id == chosen


@pytest.mark.parametrize(
    ("wanted", "told"), [("case_0", "fits several programs"), ("nothing", "is no test")]
)
def test_a_name_that_says_too_little_is_refused(wanted: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        reproducer.choose(RESULT, wanted)
    assert "kvm/iosignalfd_args_test" in caught.value.hint


def test_a_leaf_of_the_boot_has_no_program(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="belongs to no test program"):
        reproducer.make(RESULT, kit, Leaf("boot/dmesg", Status.FAIL), tmp_path / "out")


@pytest.mark.parametrize(
    ("console", "status", "told"),
    [
        ("ok 1\nreproduce: exit status 0\n", 0, "exit status 0"),
        ("not ok 1\r\nreproduce: exit status 1\r\n", 1, "exit status 1"),
        ("reproduce: exit status 4\n", 4, "exit status 4"),
        (
            "ok 1\n[    3.123456] WARNING: CPU: 0\nreproduce: exit status 0\n",
            1,
            "the kernel complained",
        ),
        ("[    3.123456][  T61] Kernel panic - not syncing: x\n", 1, "the kernel complained"),
        ("# WARNING: mine\nreproduce: exit status 0\n", 0, "exit status 0"),
        ("ok 1\n", 124, "did not end"),
        ("", 125, "QEMU did not boot"),
    ],
)
def test_the_script_tells_how_the_program_ended(
    kit: Kit, tmp_path: Path, console: str, status: int, told: str
) -> None:
    script = reproducer.make(RESULT, kit, LEAF, tmp_path / "out")
    (tmp_path / "console").write_text(console)
    fake = tmp_path / "qemu"
    fake.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/argv\ncat {tmp_path}/console\n')
    fake.chmod(0o755)
    done = subprocess.run(
        [script],
        env={"PATH": os.defpath, "QEMU": str(fake)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done
    assert told in done.stdout + done.stderr
    argv = (tmp_path / "argv").read_text()
    for words in (
        "-machine q35 -accel tcg,thread=multi -cpu max,-erms",
        "-append console=ttyS0 panic=-1 nokaslr rdinit=/reproduce/init",
        f"-kernel {tmp_path}/out/kernel",
        "-netdev user,id=net0,restrict=on -device virtio-net-pci,netdev=net0,romfile=",
    ):
        assert words in argv


def test_the_script_is_for_the_kernels_architecture(kit: Kit, tmp_path: Path) -> None:
    bundle = replace(kit.bundle, arch="arm64")
    script = reproducer.make(RESULT, replace(kit, bundle=bundle), LEAF, tmp_path / "out")
    assert "earlycon nokaslr rdinit=/reproduce/init" in script.read_text()


def test_the_script_needs_qemu(kit: Kit, tmp_path: Path) -> None:
    script = reproducer.make(RESULT, kit, LEAF, tmp_path / "out")
    env = {"PATH": os.defpath, "QEMU": "no-such-qemu"}
    done = subprocess.run([script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (125, "reproduce: there is no no-such-qemu\n")
