"""Faults of the host, of QEMU, of the cache and of the network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import signal
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from tests import fault_table
from tests.fault_table import Fault, wait_until
from tests.unit.faults.scene import PATIENCE, Scene
from tests.vm.conftest import Ended
from toolkit.core import paths
from toolkit.host.cache import Cache

FAULTS: list[Fault] = []
host = functools.partial(fault_table.fault, FAULTS, "host")
qemu = functools.partial(fault_table.fault, FAULTS, "QEMU")
cache = functools.partial(fault_table.fault, FAULTS, "cache")
network = functools.partial(fault_table.fault, FAULTS, "network")

_VERSION = "echo QEMU emulator version 7.2.0"


# --- host ------------------------------------------------------------------------------------


@host("gcc is not installed", code=3, words="gcc is not installed")
def no_gcc(scene: Scene) -> Ended:
    return scene.run(PATH=scene.path_without("gcc"))


@host("make is not installed", code=3, words="make is not installed")
def no_make(scene: Scene) -> Ended:
    return scene.run(PATH=scene.path_without("make"))


@host("flex is not installed", code=3, words="flex is not installed")
def no_flex(scene: Scene) -> Ended:
    return scene.run(PATH=scene.path_without("flex"))


@host("git is not installed", code=3, words="git is not installed")
def no_git(scene: Scene) -> Ended:
    series = str(scene.series("int changed;"))
    return scene.run("--patch", series, PATH=scene.path_without("git"))


@host("a script of the kernel needs a tool that is missing", code=3, words="no-such-tool")
def no_tool(scene: Scene) -> Ended:
    makefile = scene.tree / "Makefile"
    good = makefile.read_text()
    makefile.write_text(good.replace("\tgcc -c", "\tno-such-tool && gcc -c"))
    ended = scene.run()
    makefile.write_text(good)
    return ended


@host("the compiler is killed for want of memory", code=3, words="memory")
def compiler_killed(scene: Scene) -> Ended:
    makefile = scene.tree / "Makefile"
    good = makefile.read_text()
    said = "gcc: fatal error: Killed signal terminated program cc1"
    makefile.write_text(good.replace("\tgcc -c", f"\techo '{said}' >&2; exit 1; gcc -c"))
    ended = scene.run()
    makefile.write_text(good)
    return ended


@host("the cache lies on a read-only file system", code=3, words="Read-only file system")
def read_only_cache(scene: Scene) -> Ended:
    return scene.mounted("ro", scene.cache)


@host("the state folder lies on a read-only file system", code=3, words="Read-only file system")
def read_only_state(scene: Scene) -> Ended:
    folder = scene.tmp / "read-only"
    return scene.mounted("ro", folder, "--run-dir", f"{folder}/run", XDG_STATE_HOME=str(folder))


@host("the history lies on a read-only file system", code=2, words="not in the history")
def read_only_history(scene: Scene) -> Ended:
    folder = scene.tmp / "read-only"
    return scene.mounted("ro", folder, "--patch", "v99", XDG_STATE_HOME=str(folder))


@host("the cache is a file", code=3, words="")
def cache_is_a_file(scene: Scene) -> Ended:
    scene.cache.write_text("")
    ended = scene.run()
    scene.cache.unlink()
    return ended


@host("the disk of the cache is full", code=3, words="space")
def full_cache(scene: Scene) -> Ended:
    return scene.mounted("size=16k", scene.cache)


@host("no file may grow (ulimit -f 8)", code=3, words="(ulimit -f)")
def small_files(scene: Scene) -> Ended:
    return scene.within('ulimit -f 8; exec "$@"')


@host("memory runs out while the source is fetched", code=3, words="no more memory")
def no_memory(scene: Scene) -> Ended:
    code = "import toolkit.workflow.stage_work as work\nwork.fetch = lambda *_: [0] * (1 << 60)\n"
    return scene.run(PYTHONPATH=scene.patched(code))


@host("memory runs out while an error is shown", code=3, words="no more memory")
def no_memory_for_words(scene: Scene) -> Ended:
    code = "import toolkit.cli.main as main\nmain._show = lambda *_: [0] * (1 << 60)\n"
    return scene.run(TOOLKIT_ROOT="/usr", PYTHONPATH=scene.patched(code))


@host("the cache's path has a space in it", code=2, words="set XDG_CACHE_HOME")
def space(scene: Scene) -> Ended:
    return scene.run(XDG_CACHE_HOME=str(scene.tmp / "my cache"))


@host("the cache's path has a colon in it", code=2, words="set XDG_CACHE_HOME")
def colon(scene: Scene) -> Ended:
    return scene.run(XDG_CACHE_HOME=str(scene.tmp / "a:b"))


@host("TMPDIR has too long a path for QEMU's monitor", code=2, words="set TMPDIR")
def long_tmpdir(scene: Scene) -> Ended:
    folder = scene.tmp / ("x" * 100)
    folder.mkdir()
    return scene.test_saved(TMPDIR=str(folder))


@host("standard output is closed", code=2, words="no series")
def no_output(scene: Scene) -> Ended:
    return scene.within('exec "$@" <&- >&-', "--patch", "v99")


@host("standard error is full", code=3)
def full_error(scene: Scene) -> Ended:
    return scene.within('exec "$@" 2>/dev/full', "--patch", "v99")


@host("two runs want one base at once", code=0)
def two_runs(scene: Scene) -> Ended:
    scene.slow(1)
    first = scene.start(command="build")
    second = scene.start(command="build").finish(PATIENCE)
    ended = first.finish(PATIENCE)
    assert ended.code == 0, ended
    assert ended.out == second.out
    return second


@host("SIGTERM while make configures", code=130, words="interrupted")
def term_in_configure(scene: Scene) -> Ended:
    return scene.signalled("configure", signal.SIGTERM)


@host("SIGKILL while make configures", code=-9)
def kill_in_configure(scene: Scene) -> Ended:
    return scene.signalled("configure", signal.SIGKILL)


@host("^C while make builds", code=130, words="interrupted")
def interrupt_in_build(scene: Scene) -> Ended:
    return scene.signalled("build", signal.SIGINT)


@host("SIGTERM while make builds", code=130, words="interrupted")
def term_in_build(scene: Scene) -> Ended:
    return scene.signalled("build", signal.SIGTERM)


@host("SIGHUP while make builds: the terminal is gone", code=130, words="interrupted")
def hangup_in_build(scene: Scene) -> Ended:
    return scene.signalled("build", signal.SIGHUP)


@host("SIGKILL while make builds", code=-9)
def kill_in_build(scene: Scene) -> Ended:
    return scene.signalled("build", signal.SIGKILL)


@host("make itself is killed", code=3, words="make")
def make_killed(scene: Scene) -> Ended:
    started = scene.start(tree=scene.endless("build"))
    wait_until(lambda: scene.processes("sleep"), "no make")
    for pid in scene.processes("make"):
        os.kill(pid, signal.SIGKILL)
    return started.finish(PATIENCE)


# --- QEMU ------------------------------------------------------------------------------------


@qemu("QEMU is not installed", code=3, words="qemu-system-x86_64 is not installed")
def no_qemu(scene: Scene) -> Ended:
    return scene.test_saved(PATH=scene.path_without("qemu-system-x86_64"))


@qemu("its --version says nothing of a version", code=3, words="version")
def strange_version(scene: Scene) -> Ended:
    return scene.saved("echo hello")


@qemu("its --version fails, as with a library missing", code=3, words="libpixman")
def broken_qemu(scene: Scene) -> Ended:
    return scene.saved("echo error while loading shared libraries: libpixman >&2; exit 127")


@qemu("it exits with 1 at once", code=3, words="it exited with 1")
def exits(scene: Scene) -> Ended:
    return scene.saved(
        f'[ "$1" = --version ] && {_VERSION} && exit; echo Could not access >&2; exit 1'
    )


@qemu("it exits with 0 at once", code=3, words="it exited with 0")
def exits_well(scene: Scene) -> Ended:
    return scene.saved(f'[ "$1" = --version ] && {_VERSION}; exit 0')


@qemu("it does not answer when asked for its version", code=3, words="did not end within 10 s")
def hangs(scene: Scene) -> Ended:
    return scene.saved("sleep 60")


@qemu("it is killed at once", code=3, words="it was killed by signal 9")
def killed(scene: Scene) -> Ended:
    return scene.saved(f'[ "$1" = --version ] && {_VERSION} && exit; kill -9 $$')


# --- cache -----------------------------------------------------------------------------------


def _damaged(scene: Scene, pattern: str, command: str = "build") -> Ended:
    """Build, change a byte of the file that matches, and build again."""
    assert scene.run(command="build").code == 0
    (file,) = (scene.cache / paths.APP).glob(pattern)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return scene.run(command=command)


@cache("a byte of a built kernel has changed", code=0, words="a cached build is damaged")
def damaged_build(scene: Scene) -> Ended:
    return _damaged(scene, "build/*/kernel")


@cache("a byte of a configuration has changed", code=0, words="a cached config is damaged")
def damaged_config(scene: Scene) -> Ended:
    return _damaged(scene, "config/*/config")


@cache("a byte of a seal has changed", code=0)
def damaged_seal(scene: Scene) -> Ended:
    return _damaged(scene, "build/*/.sealed.json")


@cache("a file of the kernel's source was written to", code=3, words="source of")
def damaged_source(scene: Scene) -> Ended:
    assert scene.run(command="build").code == 0
    (file,) = (scene.cache / paths.APP).glob("source/*/tree/shared.h")
    file.write_text("changed\n")
    return scene.run("--patch", str(scene.series("int changed;")))


@cache("a file of a built kernel is missing", code=0, words="a cached build is damaged")
def missing_file(scene: Scene) -> Ended:
    assert scene.run(command="build").code == 0
    (file,) = (scene.cache / paths.APP).glob("build/*/System.map")
    file.unlink()
    return scene.run(command="build")


@cache("the build folder was removed", code=0)
def no_work_folder(scene: Scene) -> Ended:
    assert scene.run(command="build").code == 0
    root = scene.cache / paths.APP
    for kind in ("build", "work"):
        Cache.remove_tree(root / kind)
    return scene.run(command="build")


@cache("another process prunes everything while make builds", code=0)
def pruned(scene: Scene) -> Ended:
    scene.slow(2)
    started = scene.start(command="build")
    wait_until(lambda: scene.processes("sleep"), "no make")
    Cache(scene.cache / paths.APP).prune(0)
    return started.finish(PATIENCE)


@cache("a killed run left half an entry", code=0)
def half_an_entry(scene: Scene) -> Ended:
    assert scene.run(command="build").code == 0
    (entry,) = (scene.cache / paths.APP).glob("build/*/")
    entry.rename(entry.with_name(f".{entry.name}.abcd"))
    ended = scene.run(command="build")
    assert not list(entry.parent.glob(".*")), "what was left is still there"
    return ended


# --- network ---------------------------------------------------------------------------------


def _archive(**files: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


_CONTENT = _archive(**{"linux/README": "no kernel\n" * 100})


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path: a status, the whole archive, a part of it, or a part and then silence."""

    def do_GET(self) -> None:
        if self.path[1:].isdigit():
            self.send_error(int(self.path[1:]))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(_CONTENT)))
        self.end_headers()
        self.wfile.write(_CONTENT if self.path == "/whole" else _CONTENT[:50])
        if self.path == "/stall":
            self.server.gate.wait(30)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        httpd.gate = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}"
        finally:
            httpd.gate.set()  # type: ignore[attr-defined]
            httpd.shutdown()
            thread.join()


def _fetched(scene: Scene, url: str, content: bytes = _CONTENT, **env: str) -> Ended:
    spec = f"tarball:{url}#sha256={hashlib.sha256(content).hexdigest()}"
    given: dict[str, Any] = {"XDG_CACHE_HOME": str(scene.cache), "no_proxy": "127.0.0.1", **env}
    return scene.toolkit.start("build-and-test", "--kernel", spec, **given).finish(PATIENCE)


def _served(scene: Scene, path: str, content: bytes = _CONTENT, **env: str) -> Ended:
    with _server() as server:
        return _fetched(scene, f"{server}{path}", content, **env)


@network("the server refuses the connection", code=3, words="Connection refused")
def refused(scene: Scene) -> Ended:
    with _server() as server:
        pass  # and nobody listens there any more
    return _fetched(scene, f"{server}/whole")


@network("the server does not have the file", code=2, words="404")
def not_there(scene: Scene) -> Ended:
    return _served(scene, "/404")


@network("the server fails", code=3, words="503")
def server_fails(scene: Scene) -> Ended:
    return _served(scene, "/503")


@network("the download ends early", code=3, words="cannot download")
def truncated(scene: Scene) -> Ended:
    return _served(scene, "/part")


@network("the server stalls (for a second; the limit is lowered)", code=3, words="timed out")
def stalls(scene: Scene) -> Ended:
    code = "import toolkit.host.download as download\ndownload.STALL = 1.0\n"
    return _served(scene, "/stall", PYTHONPATH=scene.patched(code))


@network("SIGKILL during a download", code=-9)
def killed_download(scene: Scene) -> Ended:
    with _server() as server:
        spec = f"tarball:{server}/stall#sha256={'0' * 64}"
        env = {"XDG_CACHE_HOME": str(scene.cache), "no_proxy": "127.0.0.1"}
        started = scene.toolkit.start("build-and-test", "--kernel", spec, **cast("Any", env))
        wait_until(lambda: list(scene.cache.glob("*/source/.*/download-*")), "no download")
        started.process.kill()
        return started.finish(PATIENCE)


@network("the file is not the one of the checksum", code=2, words="has the SHA-256")
def wrong_checksum(scene: Scene) -> Ended:
    return _served(scene, "/whole", b"something else")


@network("the archive holds no kernel", code=2, words="holds no Linux kernel")
def no_kernel(scene: Scene) -> Ended:
    return _served(scene, "/whole")


@network("the archive leaves its folder", code=2)
def leaves(scene: Scene) -> Ended:
    content = _archive(**{"../outside": "x", "linux/Makefile": "VERSION = 6\n"})
    file = scene.tmp / "linux.tar.gz"
    file.write_bytes(content)
    ended = _fetched(scene, str(file), content)
    assert not (scene.cache / "outside").exists()
    return ended


@network("the archive is cut off", code=2)
def cut(scene: Scene) -> Ended:
    content = _CONTENT[:60]
    file = scene.tmp / "linux.tar.gz"
    file.write_bytes(content)
    return _fetched(scene, str(file), content)
