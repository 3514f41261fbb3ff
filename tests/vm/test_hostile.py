"""A guest that does its worst: each program of the suite costs its own result, and nothing else."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import pytest

from tests.vm.conftest import DATA, PROJECT, Started, Toolkit

SUITE = DATA / "kselftests/hostile"
MEMORY_MIB = 150  # of the host, for the toolkit itself
# Of the host's disk, for a program: what is kept of its two streams, and a machine's whole console
# (toolkit.testing.guest_program and toolkit.vm.machine), of which a part is kept again.
DISK_MIB = 4 + 4 + 64 + 1

# By program: the worst of its leaves, and a pattern for what is said of it.
EXPECTED = {
    "child_left_behind": ("pass", ""),
    "clock_moved": ("pass", ""),
    "counters_forged": ("pass", ""),
    "counters_hidden": ("pass", ""),
    "counters_reset": ("pass", ""),
    "crashes_kernel": ("crash", "Kernel panic - not syncing: sysrq triggered crash"),
    "disk_full": ("pass", ""),
    "escape_sequences": ("fail", "red"),
    "exit_against_results": ("fail", "exited with 1, although no test case failed"),
    "flood_console": ("timeout|crash", "did not end within 8 s|came up on the console"),
    "flood_errors": ("timeout", "did not end within 8 s"),
    "flood_kmsg": ("timeout|crash", "did not end within 8 s|came up on the console"),
    "flood_output": ("timeout", "did not end within 8 s"),
    "flood_without_newlines": ("timeout", "did not end within 8 s"),
    "forged_kernel_log": ("fail", "WARNING: CPU: 0 PID: 1 at forged.c:1"),
    "forged_output_of_kernel": ("pass", ""),
    "forged_results": ("error", "1 test was planned, but numbers beyond that came"),
    "fork_bomb": ("timeout|crash", "did not end within 8 s|Kernel panic|SSH server"),
    "huge_plan": ("crash", "999999999 tests were planned, 1 result came"),
    "init_killed": ("crash", "SSH server or network|rebooted or powered off"),
    "invalid_bytes": ("pass", ""),
    "log_level_lowered": ("error", "kernel.printk is 1, which keeps messages of KERN_ALERT"),
    "memory_full": ("pass|fail|crash|error|timeout", ""),  # as the OOM killer chooses
    "modules_unloaded": ("pass", ""),
    "names_with_markup": ("pass", ""),
    "network_down": ("timeout", "did not end within 8 s"),
    "no_output": ("error", "exited with 0 and reported no test case"),
    "programs_removed": ("error", "the console does not show what the kernel logged"),
    "reboots": ("crash", "the guest rebooted or powered off"),
    "resets_by_port": ("crash", "the guest rebooted or powered off"),
    "results_without_end": ("timeout", "did not end within 8 s"),
    "ssh_server_killed": ("crash", "it ended the guest's SSH server or network"),
    "ssh_server_stopped": ("timeout", "did not end within 8 s"),
}
SEVERITY = ("crash", "timeout", "error", "fail", "pass")  # toolkit.core.model.testing.Status


def test_each_program_costs_its_own_result_alone(toolkit: Toolkit, seeded: Path) -> None:
    assert {path.stem for path in SUITE.glob("*.sh")} == EXPECTED.keys()
    # Otherwise the memory of fetching and building a kernel would count, where the cache has none.
    assert toolkit.run("build", "--suite", "hostile", root=seeded).code == 0
    started = toolkit.start("build-and-test", "--suite", "hostile", root=seeded)
    peak = _peak_memory(started)
    ended = started.finish()
    assert ended.code == 1, ended
    worst: dict[str, str] = {}
    said: dict[str, str] = {}
    for leaf in ended.result["leaves"]:
        program = leaf["id"].split("/")[1].removesuffix(".sh")
        said[program] = said.get(program, "") + leaf["message"] + "\n"
        statuses = (worst.get(program, "pass"), leaf["status"])
        worst[program] = min(statuses, key=SEVERITY.index)
    wrong = [
        f"{program}: {worst.get(program)}, {said.get(program)!r}"
        for program, (status, message) in EXPECTED.items()
        if not re.fullmatch(status, worst.get(program, ""))
        or not re.search(message, said.get(program, ""))
    ]
    assert not wrong, "\n".join(wrong)
    assert "\x1b" not in ended.out + ended.err
    assert peak < MEMORY_MIB
    files = [path.stat().st_size for path in ended.folder.rglob("*") if path.is_file()]
    assert sum(files) < len(EXPECTED) * DISK_MIB << 20


def test_a_program_that_forges_its_counters_loses_them_and_takes_nobody_elses(
    toolkit: Toolkit, seeded: Path
) -> None:
    words = ["--patch", str(PROJECT / "patches/iosignalfd/v4"), "--suite", "hostile", "--coverage"]
    for name in ("counters_*", "child_left_behind.sh"):
        words += ["--test", name]
    ended = toolkit.run("build-and-test", *words, root=seeded)
    assert ended.code == 0, ended
    coverage = ended.result["coverage"]
    assert set(coverage["programs"]) == {
        "boot",
        "hostile/child_left_behind.sh",
        "hostile/counters_reset.sh",
    }
    lost = dict(entry.split(": ", 1) for entry in coverage["lost"])
    assert lost.keys() == {"hostile/counters_forged.sh", "hostile/counters_hidden.sh"}
    assert lost["hostile/counters_forged.sh"].startswith("gcov cannot read its counters")
    assert "is debugfs still mounted" in lost["hostile/counters_hidden.sh"]


@pytest.mark.parametrize("snapshots", [(), ("--no-snapshots",)])
@pytest.mark.parametrize("word", ["quiet", "loglevel=3"])
def test_a_silenced_console_is_refused_before_anything_is_built(
    toolkit: Toolkit, seeded: Path, word: str, snapshots: tuple[str, ...]
) -> None:
    words = ("--suite", "hostile", "--append", word, *snapshots)
    ended = toolkit.run("build-and-test", *words, root=seeded)
    assert ended.code == 2, ended
    assert f"`{word}` keeps messages of KERN_" in ended.err
    assert "fetch" not in ended.err


def _peak_memory(started: Started) -> float:
    """Return the most memory, in MiB, that the toolkit had resident until it ended."""
    peak = 0
    status = Path(f"/proc/{started.process.pid}/status")
    while started.process.poll() is None:
        with contextlib.suppress(OSError):
            if match := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
                peak = max(peak, int(match[1]))
        time.sleep(0.2)
    return peak / 1024
