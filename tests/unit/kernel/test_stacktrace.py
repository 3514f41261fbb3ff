from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests import a_result
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.observer import Silent
from toolkit.host import sandbox
from toolkit.kernel import stacktrace

# Answers as scripts/decode_stacktrace.sh does, and keeps what it was given.
SCRIPT = """
here=$(dirname "$0")
ls "$3" >"$here/modules"
while read -r frame module; do
    echo "$frame $module" >>"$here/asked"
    case $frame in
    iosignalfd_*) echo " ${frame%%+*} (virt/kvm/iosignalfd.c:212) kvm" ;;
    *) echo " $frame $module" ;;
    esac
done
"""


@pytest.fixture(autouse=True)
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the script write down what it was given."""
    monkeypatch.setattr(sandbox, "confine", lambda **_: ())


@pytest.fixture
def base(tmp_path: Path) -> KernelBase:
    (tmp_path / "scripts").mkdir()
    (tmp_path / stacktrace.SCRIPT).write_text(SCRIPT)
    return KernelBase("tree:fake", "6.12.1", tmp_path, "base")


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBuild:
    (tmp_path / "config").write_text("CONFIG_DEBUG_INFO=y\n")
    (tmp_path / "kvm.ko").write_bytes(b"ELF")
    with tarfile.open(tmp_path / "modules.tar", "w") as tar:
        tar.add(tmp_path / "kvm.ko", "lib/modules/6.12.1/kernel/arch/x86/kvm/kvm.ko")
        tar.add(tmp_path / "config", "lib/modules/6.12.1/modules.dep")
    return KernelBuild(
        path=tmp_path,
        key="k",
        release="6.12.1",
        image=tmp_path / "kernel",
        image_digest="d1gest",
        modules=tmp_path / "modules.tar",
        headers=tmp_path,
        config=tmp_path / "config",
    )


class Notices(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, text: str) -> None:
        self.said.append(text)


def asked(base: KernelBase) -> list[str]:
    return (base.path / "scripts/asked").read_text().splitlines()


def test_frames_get_their_places(base: KernelBase, kernel: KernelBuild) -> None:
    (splat,) = stacktrace.decode([a_result.WARNING], kernel, base, Silent())
    assert "RIP: 0010:iosignalfd_release (virt/kvm/iosignalfd.c:212) [kvm]\n" in splat.decoded
    assert " __fput+0x9f/0x2a0\n" in splat.decoded  # not known: left as it was
    assert splat.text == a_result.WARNING.text
    assert (base.path / "scripts/modules").read_text() == "kvm.ko\n"
    assert asked(base).count("iosignalfd_release+0x41/0x60 [kvm]") == 1


@pytest.mark.parametrize(
    "hostile",
    [
        'x"&&system("id")&&"+0x1/0x2',
        "a[$(id)]+0x1/0x2",
        "$(id)+0x1/0x2 [kvm]",
        "`id`+0x1/0x2",
        "../../x+0x1/0x2 [../../kvm]",
        "Code: 00 00 $(id)",
    ],
)
def test_the_script_sees_no_word_that_could_be_a_command(
    base: KernelBase, kernel: KernelBuild, hostile: str
) -> None:
    splat = replace(a_result.WARNING, text=f"good+0x1/0x2\n{hostile}\n {hostile} [kvm]")
    stacktrace.decode([splat], kernel, base, Silent())
    for line in asked(base):
        assert re.fullmatch(r"[A-Za-z0-9_.]+\+0x[0-9a-f]+/0x[0-9a-f]+ (\[[A-Za-z0-9_]+\])?", line)


def test_without_debug_information_nothing_is_asked(base: KernelBase, kernel: KernelBuild) -> None:
    kernel.config.write_text("# CONFIG_DEBUG_INFO is not set\n")
    assert stacktrace.decode([a_result.PANIC], kernel, base, Silent()) == (a_result.PANIC,)
    assert not (base.path / "scripts/asked").exists()


def test_without_the_source_splats_stay_as_they_are(kernel: KernelBuild) -> None:
    away = KernelBase("debian:6.12", "6.12.1", Path(), "base")
    assert stacktrace.decode([a_result.PANIC], kernel, away, Silent()) == (a_result.PANIC,)


def test_a_script_that_fails_is_told_and_costs_nothing(
    base: KernelBase, kernel: KernelBuild
) -> None:
    (base.path / stacktrace.SCRIPT).write_text("exit 3")
    notices = Notices()
    assert stacktrace.decode([a_result.PANIC], kernel, base, notices) == (a_result.PANIC,)
    assert "exited with 3" in notices.said[0]


def test_binutils_of_another_architecture_read_what_the_linker_wrote(
    base: KernelBase, kernel: KernelBuild
) -> None:
    script = base.path / stacktrace.SCRIPT
    script.write_text('echo "$CROSS_COMPILE $1" >"$(dirname "$0")/called"\n' + SCRIPT)
    stacktrace.decode([a_result.WARNING], kernel, base, Silent(), "aarch64-linux-gnu")
    called = base.path / "scripts/called"
    assert called.read_text() == f"aarch64-linux-gnu- {kernel.image}\n"
    (kernel.path / "vmlinux").write_bytes(b"ELF")
    stacktrace.decode([a_result.WARNING], kernel, base, Silent())
    assert called.read_text() == f" {kernel.path}/vmlinux\n"
