"""Every way a run can go wrong: whose fault, said how, and nothing left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import DATA, PROJECT, Ended, Started, Toolkit

SERIES = DATA / "series"
PASS = ("--suite", "selfcheck", "--test", "pass_test.sh")
LONGEST = 8.0  # seconds: about what a run takes that has a module to build
IOCTL = ("--suite", "selfcheck", "--test", "ioctl_test")


def seeded_run(toolkit: Toolkit, root: Path, name: str, *words: str) -> Ended:
    return toolkit.run("build-and-test", "--patch", str(SERIES / name), *words, root=root)


def test_a_patch_that_does_not_compile(toolkit: Toolkit, seeded: Path) -> None:
    ended = seeded_run(toolkit, seeded, "no-compile", *PASS)
    assert ended.code == 1, ended
    assert "kvm_no_such_function" in ended.err
    assert "kvm_main.c" in ended.err
    assert ended.result["verdict"] == "build-break"
    assert "kvm_no_such_function" in (ended.folder / "build.log").read_text()


def test_a_series_that_panics_on_boot(toolkit: Toolkit, seeded: Path) -> None:
    ended = seeded_run(toolkit, seeded, "panic-at-boot", *PASS)
    assert ended.code == 1, ended
    assert "seeded fault: no init today" in ended.err
    assert ended.result["verdict"] == "boot-failure"


def test_an_ioctl_that_loops_for_ever(toolkit: Toolkit, seeded: Path) -> None:
    words = ("--suite", "selfcheck", "--test", "ioctl_test", "--test", "pass_test.sh")
    ended = seeded_run(toolkit, seeded, "loop-in-ioctl", *words)
    assert ended.code == 1, ended
    statuses = ended.statuses()
    assert statuses["selfcheck/ioctl_test/global.before"] == "pass"
    assert statuses["selfcheck/ioctl_test/global.assign"] == "timeout"
    assert statuses["selfcheck/pass_test.sh/first"] == "pass"


def test_an_oops_in_a_test(toolkit: Toolkit, seeded: Path) -> None:
    words = ("--suite", "selfcheck", "--test", "ioctl_test", "--test", "pass_test.sh")
    ended = seeded_run(toolkit, seeded, "oops-in-ioctl", *words)
    assert ended.code == 1, ended
    assert any("NULL pointer" in splat["title"] for splat in ended.result["splats"])
    assert ended.statuses()["selfcheck/ioctl_test/global.before"] == "pass"
    assert ended.statuses()["selfcheck/pass_test.sh/first"] == "pass"


def test_a_warning_fails_a_test_that_passes(toolkit: Toolkit, seeded: Path) -> None:
    ended = seeded_run(toolkit, seeded, "warn-in-ioctl", *IOCTL)
    assert ended.code == 1, ended
    statuses = ended.statuses()
    assert statuses["selfcheck/ioctl_test/global.assign"] == "pass"
    assert "fail" in statuses.values()
    assert any("WARNING" in splat["title"] for splat in ended.result["splats"])


def test_a_selftest_that_segfaults(toolkit: Toolkit, seeded: Path) -> None:
    words = ("--suite", "selfcheck", "--test", "segfault_test")
    ended = toolkit.run("build-and-test", *words, root=seeded)
    assert ended.code == 1, ended
    assert ended.statuses()["selfcheck/segfault_test/before"] == "pass"
    assert "crash" in ended.statuses().values()
    assert "SEGV" in ended.out


def test_a_selftest_that_forks_with_unflushed_output(toolkit: Toolkit, seeded: Path) -> None:
    words = ("--suite", "selfcheck", "--test", "fork_test")
    ended = toolkit.run("build-and-test", *words, root=seeded)
    assert ended.code == 0, ended
    cases = ("before", "one line each", "errors apart")
    assert ended.statuses() == {f"selfcheck/fork_test/{case}": "pass" for case in cases}
    log = ended.folder / "tests/selfcheck/fork_test.log"
    assert log.read_text().splitlines().count("ok 1 before") == 1


def test_the_unpatched_base_passes_what_passes_everywhere(toolkit: Toolkit, seeded: Path) -> None:
    ended = toolkit.run("build-and-test", *PASS, root=seeded)
    assert ended.code == 0, ended
    assert ended.statuses() == {
        "selfcheck/pass_test.sh/first": "pass",
        "selfcheck/pass_test.sh/second": "skip",
    }


def test_qemu_killed_in_the_middle_of_a_test(toolkit: Toolkit, seeded: Path) -> None:
    words = ("build-and-test", "--suite", "selfcheck", "--test", "wait_test.sh")
    started = toolkit.start(*words, root=seeded)
    started.wait_for("test ...")
    console = started.folder / "machines/1/console.log"
    while not console.exists() or b"crng reseeded" not in console.read_bytes():
        assert started.process.poll() is None, started.err.read_text()
        time.sleep(0.05)
    time.sleep(2)  # the program comes into the machine, and waits there for 6 s
    (qemu,) = toolkit.processes("qemu-system")
    os.kill(qemu, signal.SIGKILL)
    ended = started.finish()
    assert ended.code == 3, ended
    assert "killed by signal 9" in ended.err
    assert ended.result["verdict"] == "infrastructure"


@pytest.mark.parametrize(
    "stage", ["fetch", "configure", "build", "image", "selftests", "boot", "test"]
)
def test_an_interrupt_in_each_stage(
    toolkit: Toolkit, seeded: Path, tmp_path: Path, stage: str
) -> None:
    env: dict[str, Any] = {}
    words: list[str] = ["build-and-test", "--suite", "selfcheck", "--test", "wait_test.sh"]
    root = tmp_path / "root"
    shutil.copytree(PROJECT / "vm-images", root / "vm-images")
    shutil.copytree(DATA / "kselftests", root / "kselftests")
    (root / "patches").mkdir()
    # What makes the stage do its work although the cache is warm: something new to it.
    if stage == "fetch":
        env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    elif stage in ("configure", "build"):
        (tmp_path / "new.config").write_text(f'CONFIG_DEFAULT_HOSTNAME="{toolkit.mark}"\n')
        words += ["--profile", str(tmp_path / "new.config")]
    elif stage == "image":
        add_comment(root / "vm-images/minimal/init.j2", toolkit.mark)
    elif stage == "selftests":
        add_comment(root / "kselftests/selfcheck/Makefile", toolkit.mark)
    elif stage == "boot":
        words += ["--append", f"toolkit_test={toolkit.mark}"]
    started = toolkit.start(*words, root=root, **env)
    started.wait_for(f"{stage} ...")
    time.sleep(0.3)
    started.process.send_signal(signal.SIGINT)
    ended = started.finish(60)
    assert ended.code == 130, ended
    assert "interrupted" in ended.err
    assert ended.result["verdict"] == "interrupted"
    assert not toolkit.processes()
    if stage != "fetch":  # and the next run works
        again = toolkit.run("build-and-test", *PASS, root=seeded)
        assert again.code == 0, again


def test_no_qemu_on_the_host(toolkit: Toolkit, seeded: Path, tmp_path: Path) -> None:
    """All of the host's programs but QEMU."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in Path(folder).glob("*"):
            link = bin_folder / program.name
            if not program.name.startswith("qemu-system") and not link.is_symlink():
                link.symlink_to(program)
    ended = toolkit.run("build-and-test", *PASS, root=seeded, PATH=str(bin_folder))
    assert ended.code == 3, ended
    assert "qemu-system-x86_64 is not installed" in ended.err
    assert "apt-get install qemu-system-x86" in ended.err


def test_a_disk_that_fills_up(toolkit: Toolkit, seeded: Path, tmp_path: Path) -> None:
    """A cache on a file system of 64 MB, which the kernel's source does not fit into."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system of its own")
    small = tmp_path / "small"
    small.mkdir()
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nmount -t tmpfs -o size=64m none {small} && exec "$@"\n')
    wrapper.chmod(0o755)
    ended = toolkit.run(
        "build-and-test",
        *PASS,
        root=seeded,
        wrapper=["unshare", "--mount", str(wrapper)],
        XDG_CACHE_HOME=str(small),
    )
    assert ended.code == 3, ended
    assert "space" in ended.err
    assert not any(small.iterdir())


def add_comment(path: Path, words: str) -> None:
    path.write_text(f"{path.read_text()}# {words}\n")


def test_killed_at_twenty_moments_the_next_run_is_good(
    toolkit: Toolkit, seeded: Path, tmp_path: Path
) -> None:
    """Each run has another module to build, another machine to save, and a moment to die at."""
    (original,) = (SERIES / "breaks-twice").glob("0002-*.patch")
    edited = tmp_path / "edited"
    edited.mkdir()

    def started() -> Started:
        value = f"data = {{ .datamatch = {random.randrange(1 << 30)} }};"
        text = original.read_text().replace("data = {};", value)
        (edited / original.name).write_text(text)
        return toolkit.start("build-and-test", "--patch", str(edited), *PASS, root=seeded)

    first = started().finish()  # it may have to build a whole kernel
    assert first.code == 0, first
    for _ in range(20):
        moment = random.uniform(0, LONGEST)
        run = started()
        time.sleep(moment)
        run.process.kill()
        run.process.communicate()
        for _ in range(100):
            if not toolkit.processes():
                break
            time.sleep(0.05)
        assert not toolkit.processes(), f"killed after {moment:.2f} s"
    good = started().finish()
    assert good.code == 0, good
    assert "damaged" not in good.err
