from __future__ import annotations

import os
import subprocess

from tools import marked


def test_a_process_and_its_children_are_found_by_their_mark() -> None:
    env = {**os.environ, marked.MARK: "test-1"}
    words = ["sh", "-c", "exec 3<&0; cat <&3 & wait"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, bufsize=0, stdin=pipe, stdout=pipe) as shell:
        assert shell.stdin
        assert shell.stdout
        shell.stdin.write(b"\n")
        shell.stdout.read(1)  # from then on the child is cat, and no longer the shell
        found = marked.processes("test-1")
        (cat,) = marked.processes("test-1", "cat")
        assert marked.processes("test-1", "cat", "sh") == found
        assert sorted(found) == sorted([shell.pid, cat])
        assert marked.processes("test-") == []
        assert marked.processes("test-1", "gcc") == []
        os.kill(cat, 9)
        shell.wait()
    assert marked.processes("test-1") == []
