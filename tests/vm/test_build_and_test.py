"""The main job, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import jsonschema
import junitparser
import pytest

from tests.vm.conftest import PROJECT, Toolkit

SCHEMA = PROJECT / "toolkit/report/schemas/result-v1.json"


def test_v4_passes_on_a_real_kernel(toolkit: Toolkit) -> None:
    ended = toolkit.run("build-and-test", "--patch", "v4")
    assert ended.code == 0, ended
    result = ended.result
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))
    assert result["verdict"] == "pass"
    assert result["series"] == "iosignalfd/v4"
    assert result["release"].startswith("6.12.")
    assert result["accelerator"] in ("tcg", "kvm")
    assert result["accelerator_reason"]
    statuses = ended.statuses()
    assert list(statuses.values()).count("pass") >= 15
    assert set(statuses.values()) <= {"pass", "skip"}
    # Nested virtualisation is the point: cases that need KVM in the guest ran, and passed.
    assert any("match" in name and status == "pass" for name, status in statuses.items())
    suites = junitparser.JUnitXml.fromfile(str(ended.folder / "junit.xml"))
    assert suites.failures == suites.errors == 0
    for name in ("console.log", "build.log", "kernel.config", "qemu.sh"):
        assert (ended.folder / name).stat().st_size > 0, name
    assert "accelerator: " in ended.err


def test_the_suite_of_the_bus_alone_builds_and_passes(toolkit: Toolkit) -> None:
    ended = toolkit.run("build-and-test", "--patch", "v4", "--suite", "kvm-io-bus")
    assert ended.code == 0, ended
    statuses = ended.statuses()
    assert set(statuses.values()) <= {"pass", "skip"}
    assert list(statuses.values()).count("pass") >= 15


def test_a_second_run_finds_what_the_first_one_made(toolkit: Toolkit) -> None:
    first = toolkit.run("build", "--patch", "v4")
    assert first.code == 0, first
    again = toolkit.run("build-and-test", "--patch", "v4", "--test", "*args*")
    assert again.code == 0, again
    cached = {stage["name"]: stage["cached"] for stage in again.result["stages"]}
    for stage in ("fetch", "configure", "build", "image", "selftests"):
        assert cached[stage], stage


def test_the_saved_script_boots_the_machine_by_itself(toolkit: Toolkit, tmp_path: Path) -> None:
    ended = toolkit.run("boot", "--patch", "v4")
    assert ended.code == 0, ended
    assert " 6.12." in ended.out
    with (tmp_path / "script.log").open("w+b") as log:
        vm = subprocess.Popen(
            [str(ended.folder / "qemu.sh")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "SSH_PORT": "0"},
        )
        try:
            for _ in range(1200):
                if b"toolkit: ready" in (tmp_path / "script.log").read_bytes():
                    break
                assert vm.poll() is None, (tmp_path / "script.log").read_text()
                time.sleep(0.1)
            else:
                pytest.fail((tmp_path / "script.log").read_text())
        finally:
            vm.kill()
            vm.wait()


def test_a_command_in_the_machine_gives_its_output_and_status(toolkit: Toolkit) -> None:
    ended = toolkit.run("shell", "--patch", "v4", "--", "sh", "-c", "lsmod; exit 7")
    assert ended.code == 7, ended
    assert "kvm_amd" in ended.out or "kvm_intel" in ended.out


def test_two_runs_at_once_do_not_disturb_each_other(toolkit: Toolkit) -> None:
    both = [toolkit.start("build-and-test", "--patch", "v4", "--test", "*args*") for _ in range(2)]
    for ended in [started.finish() for started in both]:
        assert ended.code == 0, ended


def test_the_debian_image_runs_the_same_suite(toolkit: Toolkit) -> None:
    words = ("build-and-test", "--patch", "v4", "--image", "debian", "--test", "*args*")
    ended = toolkit.run(*words)
    assert ended.code == 0, ended
    assert "pass" in ended.statuses().values()
    made = {stage["name"]: stage["detail"] for stage in ended.result["stages"]}
    # A machine of this image can be saved; which of the two it says, an earlier run decides.
    assert made["boot"] == "saved"
    assert made["modules"] in ("loaded", "saved")
    # What a machine writes to its disk is its own, and gone with it.
    for _ in range(2):
        line = "test ! -e /left && echo something >/left && sync"
        ended = toolkit.run("shell", "--patch", "v4", "--image", "debian", "--", "sh", "-c", line)
        assert ended.code == 0, ended
