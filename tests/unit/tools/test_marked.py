from __future__ import annotations

import os
import subprocess

from tools import marked


def test_a_process_and_its_children_are_found_by_their_mark() -> None:
    env = {**os.environ, marked.MARK: "test-1"}
    words = ["sh", "-c", "sleep 60 & echo; wait"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as shell:
        assert shell.stdout
        shell.stdout.readline()
        found = marked.processes("test-1")
        (sleep,) = marked.processes("test-1", "sleep")
        assert marked.processes("test-1", "sleep", "sh") == found
        assert sorted(found) == sorted([shell.pid, sleep])
        assert marked.processes("test-") == []
        assert marked.processes("test-1", "gcc") == []
        os.kill(sleep, 9)
        shell.wait()
    assert marked.processes("test-1") == []
