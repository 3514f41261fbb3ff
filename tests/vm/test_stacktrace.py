"""Stack traces, decoded by the kernel's own script; a small program stands for the kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.vm.conftest import PROJECT
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.observer import Silent
from toolkit.kernel import stacktrace

SOURCE = """int inner(int x)
{
\treturn x + 1;
}
int kernel_init(int x)
{
\treturn inner(x) + 1;
}
int main(void)
{
\treturn kernel_init(1);
}
"""


def test_the_kernel_s_own_script_gives_files_and_lines(tmp_path: Path) -> None:
    argv: list[str | Path] = [sys.executable, "-m", "toolkit", "fetch"]
    fetched = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True)
    base = KernelBase("debian:6.12", "6.12", Path(fetched.stdout.strip()), "key")
    (tmp_path / "init").mkdir()
    (tmp_path / "init/main.c").write_text(SOURCE)
    argv = ["gcc", "-g", "-O0", "-no-pie", "-o", tmp_path / "kernel", tmp_path / "init/main.c"]
    subprocess.run(argv, check=True)
    (tmp_path / "config").write_text("CONFIG_DEBUG_INFO=y\n")
    kernel = KernelBuild(
        path=tmp_path,
        key="k",
        release="6.12",
        image=tmp_path / "kernel",
        image_digest="d",
        modules=None,
        headers=tmp_path,
        config=tmp_path / "config",
    )
    text = (
        "RIP: 0010:inner+0x4/0x14\nCall Trace:\n kernel_init+0x8/0x1d\n ? elsewhere+0x1/0x2 [kvm]"
    )
    splat = Splat("oops", "t", text, fatal=False, line=1)
    (found,) = stacktrace.decode([splat], kernel, base, Silent())
    assert found.decoded == (
        "RIP: 0010:inner (init/main.c:2)\nCall Trace:\n kernel_init (init/main.c:6)\n"
        " ? elsewhere+0x1/0x2 [kvm]"
    )
