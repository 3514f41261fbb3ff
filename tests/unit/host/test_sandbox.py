from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, DeadlineError, ToolFailedError
from toolkit.host import process, sandbox
from toolkit.kernel.make import Make

MAKEFILE = Path(__file__).parents[2] / "data/escapes/Makefile"
needs_sandbox = pytest.mark.skipif(
    sandbox.probe().options is None, reason=f"no sandbox here: {sandbox.probe().detail}"
)


def soon() -> Deadline:
    return Deadline.after(30)


@dataclass
class Host:
    """Decoys for what a build must not reach, and the folders that it is given."""

    victim: Path
    entry: Path
    source: Path
    output: Path
    listener: socket.socket
    abstract: socket.socket
    agent: Path
    parent: subprocess.Popen[bytes]

    def make(self) -> Make:
        return Make(self.source, self.output, "x86_64", 1, soon(), log=self.output.with_name("log"))

    def words(self) -> list[str]:
        return [
            *(f"VICTIM={self.victim}", f"ENTRY={self.entry}", f"OUT={self.output}"),
            *(f"PORT={self.listener.getsockname()[1]}", f"PARENT={self.parent.pid}"),
            *(f"AGENT={self.agent}", f"ABSTRACT={self.abstract.getsockname()[1:].decode()}"),
        ]

    def said(self) -> str:
        return self.output.with_name("log").read_text()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("TOOLKIT_TEST_SECRET", "hunter2")
    home, entry, source, output = (tmp_path / name for name in ("home", "cache/a", "src", "out"))
    for folder in (home, entry, source, output):
        folder.mkdir(parents=True)
    (home / ".profile").write_text("mine\n")
    (home / ".secret").write_text("secret\n")
    (entry / "kernel").write_text("whole\n")
    (source / "Makefile").write_text(MAKEFILE.read_text())
    agent = tmp_path / "agent"
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        abstract.bind(f"\0{tmp_path}")
        abstract.listen()
        with socket.socket(socket.AF_UNIX) as asked:
            asked.bind(os.path.relpath(agent))  # sun_path has 108 bytes
        parent = subprocess.Popen(["sleep", "60"])
        yield Host(home, entry, source, output, listener, abstract, agent, parent)
        parent.kill()
        parent.wait()


@needs_sandbox
def test_a_makefile_finds_no_way_out(host: Host) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    host.make().run("all", *host.words())
    outcomes = [line for line in host.said().splitlines() if line.startswith(("in: ", "out: "))]
    assert [line for line in outcomes if line.startswith("out: ")] == []
    assert len(outcomes) == 18
    assert (host.victim / ".profile").read_text() == "mine\n"
    assert (host.entry / "kernel").read_text() == "whole\n"
    assert (host.source / "Makefile").read_text() == MAKEFILE.read_text()
    assert host.parent.poll() is None
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    host.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        host.listener.accept()


def test_the_same_makefile_gets_out_of_no_sandbox(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "confine", lambda **_: ())
    ways = "home entry source secret agent network abstract parent-environ kill"
    host.make().run(*ways.split(), *host.words())
    lines = host.said().splitlines()
    assert [line for line in lines if line.startswith("in: ")] == []
    assert len([line for line in lines if line.startswith("out: ")]) == len(ways.split())
    assert host.parent.wait(10) != 0


@needs_sandbox
def test_only_names_of_the_list_are_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_AUTH_SOCK", "GITHUB_TOKEN", "CCACHE_DIR", "KBUILD_BUILD_USER"):
        monkeypatch.setenv(name, "/x")
    text = process.run(["env"], within=sandbox.confine(), deadline=soon()).text
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert {"CCACHE_DIR", "KBUILD_BUILD_USER", "PATH"} <= names
    assert not {"SSH_AUTH_SOCK", "GITHUB_TOKEN"} & names
    assert "HOME=/tmp" in text.splitlines()


@needs_sandbox
def test_a_build_can_do_its_work(host: Host) -> None:
    host.make().run("work", *host.words())
    assert "works" in host.said().splitlines()
    assert (host.output / "a").exists()


def test_what_leads_the_toolkit_astray_is_removed_and_refused(host: Host) -> None:
    with pytest.raises(BuildError, match="lead out of its folder") as caught:
        host.make().run("links", *host.words())
    assert sorted(caught.value.detail) == [
        f".config was a link to {host.victim}/.profile",
        "vmlinux was neither a file nor a folder",
    ]
    assert sorted(path.name for path in host.output.iterdir()) == ["here"]
    assert (host.victim / ".profile").read_text() == "mine\n"


def test_a_link_to_the_source_is_kept(tmp_path: Path) -> None:
    source, output = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    output.mkdir()
    (output / "source").symlink_to(source)
    (output / "file").write_text("")
    (output / "link").symlink_to("file")
    assert sandbox.sweep(output, links_to=[source]) == []
    (output / "dangling").symlink_to(tmp_path / "nothing")
    (output / "circle").symlink_to("circle")
    assert len(sandbox.sweep(output, links_to=[source])) == 2
    assert sorted(path.name for path in output.iterdir()) == ["file", "link", "source"]


@needs_sandbox
def test_nothing_of_a_build_outlives_it(host: Host) -> None:
    host.make().run("linger", *host.words())
    alive = host.output / "alive"
    size = alive.stat().st_size if alive.exists() else 0
    time.sleep(0.3)
    assert (alive.stat().st_size if alive.exists() else 0) == size


@needs_sandbox
def test_make_has_time_to_remove_what_is_half_made(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("half:\n\techo > half; sleep 60\n")
    within = sandbox.confine(writable=[tmp_path])
    argv = ["make", "-C", str(tmp_path)]
    with pytest.raises(DeadlineError, match="make did not end"):
        process.run(argv, deadline=Deadline.after(1), within=within, death_signal="TERM")
    assert not (tmp_path / "half").exists()


@needs_sandbox
def test_a_failure_is_the_commands_own() -> None:
    with pytest.raises(ToolFailedError, match=r"^sh exited with 3$") as caught:
        process.run(["sh", "-c", "echo no >&2; exit 3"], deadline=soon(), within=sandbox.confine())
    assert caught.value.detail == ("no",)


@needs_sandbox
def test_one_folder_in_another_has_a_right_of_its_own(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    words = ["sh", "-c", f"touch {inner}/x; ! touch {tmp_path}/a/x"]
    within = sandbox.confine(writable=[inner], readonly=[tmp_path])
    process.run(words, deadline=soon(), within=within)
    assert (inner / "x").exists()
    within = sandbox.confine(writable=[tmp_path], readonly=[inner])
    process.run(
        ["sh", "-c", f"touch {tmp_path}/y; ! touch {inner}/y"], deadline=soon(), within=within
    )
    assert (tmp_path / "y").exists()
    assert not (inner / "y").exists()


def test_a_compiler_elsewhere_can_be_seen_but_no_home(tmp_path: Path) -> None:
    for folder in ("opt/gcc-14/bin", "home/x-tools/bin", "home/.local/bin", "home/bin", "home/etc"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "gcc").touch(0o755)
    (tmp_path / "empty/bin").mkdir(parents=True)
    names = "opt/gcc-14/bin home/x-tools/bin home/.local/bin home/bin home/etc empty/bin"
    path = os.pathsep.join([*(str(tmp_path / name) for name in names.split()), "/usr/bin", "bin"])
    assert sandbox.toolchains(path, tmp_path / "home") == [
        tmp_path / name
        for name in ("opt/gcc-14", "home/x-tools", "home/.local/bin", "home/bin", "home/etc")
    ]


def test_who_has_no_home_can_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME is not set, and the password database does not know the user."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert bool(sandbox.confine()) == (sandbox.probe().options is not None)
    (tmp_path / "opt/bin").mkdir(parents=True)
    (tmp_path / "opt/bin/gcc").touch(0o755)
    assert sandbox.toolchains(str(tmp_path / "opt/bin"), None) == [tmp_path / "opt"]


def test_without_bubblewrap_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM", "no-such-bwrap")
    monkeypatch.setattr(sandbox, "_said", False)
    sandbox.probe.cache_clear()
    try:
        assert sandbox.describe() == ""
        assert sandbox.confine() == ()
        assert sandbox.describe().startswith("none: no-such-bwrap is not installed")
        assert "not confined: no-such-bwrap is not installed" in sandbox.notice()
        assert sandbox.notice() == ""
    finally:
        sandbox.probe.cache_clear()


def test_a_host_that_forbids_name_spaces_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sandbox, "PROGRAM", str(program))
    monkeypatch.setattr(
        process, "find", lambda name, package="": name if "/" in name else f"/usr/bin/{name}"
    )
    sandbox.probe.cache_clear()
    try:
        assert sandbox.probe().options is None
        assert sandbox.probe().detail.endswith("bwrap: No permissions to create new namespace")
    finally:
        sandbox.probe.cache_clear()


@needs_sandbox
def test_nothing_of_a_build_outlives_a_toolkit_that_is_killed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from toolkit.core.deadline import Deadline
from toolkit.host import process, sandbox
place = Path({str(tmp_path)!r})
loop = f"(setsid sh -c 'while :; do echo >>{{place}}/alive; sleep 0.05; done') & wait"
within = sandbox.confine(writable=[place])
process.run(["sh", "-c", loop], within=within, deadline=Deadline.after(60))
"""
    toolkit = subprocess.Popen([sys.executable, "-c", code])
    alive = tmp_path / "alive"
    while not alive.exists():
        assert toolkit.poll() is None
        time.sleep(0.02)
    toolkit.kill()
    toolkit.wait()
    for _ in range(200):  # the kernel needs a moment to kill them all
        size = alive.stat().st_size
        time.sleep(0.3)
        if alive.stat().st_size == size:
            return
    raise AssertionError("it is still alive")


def test_what_a_killed_make_left_half_made_is_made_again(tmp_path: Path) -> None:
    old, half = tmp_path / "old.o", tmp_path / "half.o"
    (tmp_path / ".config").write_text("CONFIG_A=y\n")
    old.write_text("whole")
    os.utime(old, (1, 1))
    with pytest.raises(KeyboardInterrupt), sandbox.unfinished(tmp_path):
        half.write_text("made in time")
        raise KeyboardInterrupt
    with sandbox.unfinished(tmp_path):
        assert half.exists()
    (tmp_path / sandbox._UNFINISHED).write_text("")  # as a killed toolkit leaves it
    half.write_text("ha")
    with sandbox.unfinished(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".o") == ["old.o"]
        assert (tmp_path / ".config").exists()
    assert not (tmp_path / sandbox._UNFINISHED).exists()


@needs_sandbox
def test_a_link_to_a_file_elsewhere_can_be_followed(tmp_path: Path) -> None:
    elsewhere, suite = tmp_path / "kvm", tmp_path / "suites" / "mine"
    elsewhere.mkdir()
    suite.mkdir(parents=True)
    (elsewhere / "config").write_text("CONFIG_KVM=m\n")
    (elsewhere / "secret").write_text("no link leads here")
    (suite / "config").symlink_to("../../kvm/config")
    (suite / "folder").symlink_to("../../kvm")
    (suite / "dangling").symlink_to("nowhere")
    assert sandbox.referents(suite) == ((elsewhere / "config").resolve(),)
    within = sandbox.confine(readonly=[suite.parent, *sandbox.referents(suite)])
    command = ["sh", "-c", f"cat {suite}/config; ls {elsewhere}"]
    done = process.run(command, within=within, deadline=Deadline.after(60))
    assert done.text == "CONFIG_KVM=m\nconfig\n"
