"""Saved machines: restored, damaged, told apart; and what one test's end costs the others."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from tests.vm.conftest import DATA, PROJECT, Toolkit

SHELL = ("shell", "--suite", "selfcheck", "--")
PASS = ("build-and-test", "--suite", "selfcheck", "--test", "pass_test.sh")


def cached(stages: list[dict[str, object]]) -> dict[str, object]:
    return {str(stage["name"]): stage["cached"] for stage in stages}


def last_used(pattern: str) -> list[Path]:
    """Return files of the cache, those of the entry that was used last at the end."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = (home / "kernel-toolkit").glob(pattern)
    # What a killed run left half done has a dot before its name.
    whole = (path for path in found if not path.parent.name.startswith("."))
    return sorted(whole, key=lambda path: (path.parent / ".sealed.json").stat().st_mtime)


def test_a_panic_in_the_third_of_ten_costs_just_that_one(toolkit: Toolkit, tmp_path: Path) -> None:
    suite = tmp_path / "root/kselftests/ten"
    suite.mkdir(parents=True)
    (tmp_path / "root/patches").mkdir()
    (tmp_path / "root/vm-images").symlink_to(PROJECT / "vm-images")
    names = [f"t{number:02}_test.sh" for number in range(1, 11)]
    (suite / "Makefile").write_text(f"TEST_PROGS := {' '.join(names)}\ninclude $(KSFT)/lib.mk\n")
    selfcheck = DATA / "kselftests/selfcheck"
    # The same needs, so that no other kernel is built.
    for options in selfcheck.glob("config*"):
        (suite / options.name).write_bytes(options.read_bytes())
    for name in names:
        (suite / name).write_bytes((selfcheck / "pass_test.sh").read_bytes())
        (suite / name).chmod(0o755)
    panic = "#!/bin/sh\necho TAP version 13\necho 1..2\necho ok 1 before\nsleep 1\n"
    (suite / names[2]).write_text(f"{panic}echo c >/proc/sysrq-trigger\n")
    ended = toolkit.run("build-and-test", "--suite", "ten", root=tmp_path / "root")
    assert ended.code == 1, ended
    statuses = ended.statuses()
    for name in names[:2] + names[3:]:
        assert statuses[f"ten/{name}/first"] == "pass"
    assert statuses[f"ten/{names[2]}/before"] == "pass"
    assert any(
        name.startswith(f"ten/{names[2]}") and status == "crash"
        for name, status in statuses.items()
    )
    console = (ended.folder / f"tests/ten/{names[2]}.console.log").read_text()
    assert "Kernel panic" in console
    assert list(statuses) == sorted(statuses, key=lambda leaf: names.index(leaf.split("/")[1]))


def test_each_case_of_a_program_in_a_machine_of_its_own(toolkit: Toolkit, seeded: Path) -> None:
    words = ("build-and-test", "--suite", "selfcheck", "--test", "ioctl_test")
    together = toolkit.run(*words, root=seeded)
    apart = toolkit.run(*words, "--isolation", "case", root=seeded)
    assert (together.code, apart.code) == (0, 0), apart
    assert len(apart.statuses()) > 1
    assert apart.statuses() == together.statuses()
    log = (apart.folder / "tests/selfcheck/ioctl_test.log").read_text()
    assert log.count("TAP version 13") == len(apart.statuses())


def test_a_header_of_vmlinux_takes_a_new_boot_and_a_module_does_not(
    toolkit: Toolkit, seeded: Path, tmp_path: Path
) -> None:
    made = ""

    def stages(*words: str) -> dict[str, object]:
        nonlocal made
        ended = toolkit.run(*PASS, *words, root=seeded)
        assert ended.code == 0, ended
        made = (ended.folder / "build.log").read_text()
        return cached(ended.result["stages"])

    def edited(series: str, number: str, old: str, new: str) -> str:
        (original,) = (DATA / "series" / series).glob(f"{number}-*.patch")
        folder = tmp_path / series
        folder.mkdir(exist_ok=True)
        (folder / original.name).write_text(original.read_text().replace(old, new))
        return str(folder)

    stages()
    # A line that nobody has built before, in virt/kvm alone: a new module in the same machine.
    for _ in range(2):
        value = f"data = {{ .datamatch = {secrets.randbits(30)} }};"
        found = stages("--patch", edited("breaks-twice", "0002", "data = {};", value))
        assert (found["build"], found["boot"], found["modules"]) == (False, True, False)
    # The second time it is known that nothing else has changed: the modules are made alone.
    assert "LD [M]  arch/x86/kvm/kvm.ko" in made
    assert " vmlinux " not in made.splitlines()[0]
    # The same for a header that fs/timerfd.c alone includes: another kernel, so another boot.
    value = f"{secrets.randbits(30):#x}"
    found = stages("--patch", edited("header-of-vmlinux", "0001", "0x40000000", value))
    assert (found["build"], found["boot"], found["modules"]) == (False, False, False)
    assert " vmlinux " in made.splitlines()[0]


def test_a_damaged_machine_is_noticed_and_made_again(toolkit: Toolkit, seeded: Path) -> None:
    words = (*PASS, "--append", f"toolkit_test={toolkit.mark}")
    first = toolkit.run(*words, root=seeded)
    assert first.code == 0, first
    assert not cached(first.result["stages"])["boot"]
    for memory in last_used("snapshot/*/memory")[-2:]:
        with memory.open("r+b") as file:
            file.seek(64 << 20)
            file.write(b"damage")
    second = toolkit.run(*words, root=seeded)
    assert second.code == 0, second
    assert "damaged" in second.err
    assert not cached(second.result["stages"])["modules"]
    third = toolkit.run(*words, root=seeded)
    assert third.code == 0, third
    assert cached(third.result["stages"])["modules"]


def test_a_damaged_module_image_and_suite_are_made_again(toolkit: Toolkit, seeded: Path) -> None:
    first = toolkit.run(*PASS, root=seeded)
    assert first.code == 0, first
    stages = {"build": "modules.tar", "image": "initramfs.cpio", "suite": "installed/pass_test.sh"}
    for kind, name in stages.items():
        *_, file = (path.parent / name for path in last_used(f"{kind}/*/.sealed.json"))
        with file.open("r+b") as damaged:
            damaged.seek(file.stat().st_size // 2)
            damaged.write(b"damage")
    second = toolkit.run(*PASS, root=seeded)
    assert second.code == 0, second
    found = cached(second.result["stages"])
    assert (found["build"], found["image"], found["selftests"]) == (False, False, False)
    for kind, name in stages.items():
        assert (
            f"a cached {kind} is damaged and will be made again: {name} has changed" in second.err
        )


def test_restored_machines_have_the_time_and_randomness_of_their_own(
    toolkit: Toolkit, seeded: Path
) -> None:
    seen = set()
    for _ in range(2):
        words = "date +%s; cat /proc/sys/kernel/random/uuid; dmesg | grep -c 'crng reseeded'"
        ended = toolkit.run(*SHELL, "sh", "-c", words, root=seeded)
        assert ended.code == 0, ended
        clock, uuid, reseeded = ended.out.split()
        # The call ended a moment ago, and a busy host may be slow to end it.
        assert -2 <= time.time() - int(clock) < 30
        assert int(reseeded) >= 1
        seen.add(uuid)
    assert len(seen) == 2


def test_without_snapshots_each_machine_boots(toolkit: Toolkit, seeded: Path) -> None:
    ended = toolkit.run(*PASS, "--no-snapshots", root=seeded)
    assert ended.code == 0, ended
    assert "modules" not in cached(ended.result["stages"])
