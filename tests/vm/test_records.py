"""What a real run leaves behind: its reports, its place in the history, and how it is repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import junitparser
from kcidb_io.schema import V5_0

from tests.vm.conftest import PROJECT, Toolkit

PASS = ("--suite", "selfcheck", "--test", "pass_test.sh")


def test_a_run_is_reported_recorded_and_repeated_with_qemu_alone(
    toolkit: Toolkit, seeded: Path, tmp_path: Path
) -> None:
    ended = toolkit.run("build-and-test", *PASS, root=seeded)
    assert ended.code == 0, ended
    folder = ended.folder
    assert junitparser.JUnitXml.fromfile(str(folder / "junit.xml")).tests == 2
    V5_0.validate_exactly(json.loads((folder / "kcidb.json").read_text()))
    made = ended.result["environment"]
    assert all(made[name] for name in ("host", "compiler", "config", "build", "image", "machine"))
    assert "selfcheck/pass_test.sh" in (folder / "summary.md").read_text()
    assert b"</html>" in (folder / "report.html").read_bytes()
    assert "All tests" in (folder / "report.txt").read_text()

    target = tmp_path / "again"
    words = ("reproduce", str(folder), "pass_test.sh", "--output", str(target))
    argv = [sys.executable, "-m", "toolkit", "--root", str(seeded), *words]
    subprocess.run(argv, cwd=PROJECT, check=True)
    alone = {"PATH": os.defpath, "LIMIT": "120"}
    done = subprocess.run(
        [target / "reproduce.sh"], env=alone, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "reproduce: exit status 0" in done.stdout
    assert "ok 1 first" in done.stdout
