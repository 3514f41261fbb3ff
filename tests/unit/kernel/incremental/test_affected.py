from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.kernel.incremental import affected
from toolkit.kernel.incremental.change_log import ChangeLog

CONFIG = "CONFIG_MODULES=y\nCONFIG_KVM=m\n"
FILES = {
    "modules.order": "arch/x86/kvm/kvm.{0}\nvirt/lib/irqbypass.{0}\n",
    "arch/x86/kvm/kvm.mod": "arch/x86/kvm/../../../virt/kvm/eventfd.o arch/x86/kvm/x86.o\n",
    "virt/lib/irqbypass.mod": "virt/lib/irqbypass.o\n",
    "virt/kvm/.eventfd.o.cmd": "virt/kvm/eventfd.c virt/kvm/iodev.h include/linux/kvm_host.h",
    "arch/x86/kvm/.x86.o.cmd": "arch/x86/kvm/x86.c arch/x86/kvm/svm.h include/linux/kvm_host.h",
    "virt/lib/.irqbypass.o.cmd": "virt/lib/irqbypass.c include/linux/irqbypass.h",
    "arch/x86/kernel/.cpu.o.cmd": "arch/x86/kernel/cpu.c arch/x86/include/asm/svm.h",
    "init/.main.o.cmd": "init/main.c include/linux/kvm_host.h arch/x86/kernel/../lib/odd.h",
    "arch/x86/kvm/.kvm.o.cmd": "",
}


@pytest.fixture(params=["o", "ko"])  # what modules.order says since Linux 6.3, and what before
def output(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        listed = "".join(f"  /home/me/src/{path} \\\n" for path in text.split())
        command = f"savedcmd_x.o := gcc -c\n\nsource_x.o := y\n\ndeps_x.o := \\\n{listed}\n"
        file.write_text(command if name.endswith(".cmd") else text.format(request.param))
    return tmp_path


def test_modules_are_called_as_make_calls_them(output: Path, tmp_path: Path) -> None:
    assert affected.modules(output) == ["arch/x86/kvm/kvm.ko", "virt/lib/irqbypass.ko"]
    assert affected.modules(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("path", "alone"),
    [
        ("virt/kvm/eventfd.c", True),
        ("virt/kvm/iodev.h", True),
        ("arch/x86/kvm/svm.h", True),  # and another file of this name is the kernel's
        ("arch/x86/include/asm/svm.h", False),
        ("include/linux/kvm_host.h", False),
        ("init/main.c", False),
        ("arch/x86/lib/odd.h", False),
        ("drivers/net/not-configured.c", True),
        ("Documentation/virt/kvm/api.rst", True),
        ("tools/testing/selftests/kvm/a.c", True),
        ("MAINTAINERS", True),
        ("Documentation/Makefile", False),
        ("tools/objtool/check.c", False),
        ("scripts/mod/modpost.c", False),
        ("include/uapi/linux/kvm.h", False),
        ("arch/x86/include/uapi/asm/kvm.h", False),
        ("virt/kvm/Makefile.kvm", False),
        ("arch/x86/kvm/Kconfig", False),
        ("arch/x86/kvm/svm/vmenter.S", False),
    ],
)
def test_who_reads_a_file_says_what_an_edit_of_it_reaches(
    output: Path, path: str, *, alone: bool
) -> None:
    found = affected.in_modules(output, CONFIG, {path: True}, soon())
    assert (found is not None) is alone
    both = {"virt/kvm/eventfd.c": True, path: True}
    found = affected.in_modules(output, CONFIG, both, soon())
    assert (found is not None) is alone
    assert not alone or Path("virt/kvm/.eventfd.o.cmd") in (found or [])


def test_what_has_to_be_made_again(output: Path) -> None:
    def found(*paths: str) -> list[str]:
        edited = affected.in_modules(output, CONFIG, dict.fromkeys(paths, True), soon())
        assert edited is not None
        return sorted(map(str, edited))

    assert found() == found("drivers/net/not-configured.c") == found("MAINTAINERS") == []
    assert found("virt/kvm/eventfd.c") == ["virt/kvm/.eventfd.o.cmd"]
    both = ["arch/x86/kvm/.x86.o.cmd", "virt/lib/.irqbypass.o.cmd"]
    assert found("arch/x86/kvm/svm.h", "include/linux/irqbypass.h") == both


def test_what_reaches_everything(output: Path) -> None:
    def all_of_it(edit: dict[str, bool], config: str = CONFIG) -> bool:
        return affected.in_modules(output, config, edit, soon()) is None

    edit = {"virt/kvm/eventfd.c": True}
    assert not all_of_it(edit)
    assert all_of_it({"virt/kvm/eventfd.c": False})
    assert all_of_it(edit, f"{CONFIG}CONFIG_TRIM_UNUSED_KSYMS=y\n")
    assert all_of_it({f"fs/{number}.c": True for number in range(51)})
    (output / "virt/lib/irqbypass.mod").unlink()
    assert all_of_it(edit)
    (output / "modules.order").write_text("")
    assert all_of_it(edit)


def test_a_build_folder_knows_what_it_was_built_from(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "src")
    log.begin()
    assert affected.changes(tmp_path, "gcc 12", log) is None
    affected.remember(tmp_path, "gcc 12", log)
    log.add({"a.c": True})
    assert affected.changes(tmp_path, "gcc 12", log) == {"a.c": True}
    assert affected.changes(tmp_path, "gcc 13", log) is None
    affected.forget(tmp_path)
    assert affected.changes(tmp_path, "gcc 12", log) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"identity": "i"}', '{"identity": "i", "position": 1}']
)
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    log = ChangeLog(tmp_path / "src")
    log.begin()
    affected.remember(tmp_path, "i", log)
    (tmp_path / ".toolkit-built").write_text(text)
    assert affected.changes(tmp_path, "i", log) is None


def test_a_build_folder_serves_one_tree(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "src")
    output = tmp_path / "out"
    output.mkdir()
    (output / "a.o").touch()  # from before there were change logs
    affected.claim(output, log)
    log.begin()
    for _ in range(2):
        affected.claim(output, log)
        assert (output / "a.o").exists()
    log.begin(log.tree_id())
    affected.claim(output, log)
    assert (output / "a.o").exists()
    log.begin()
    affected.claim(output, log)
    assert not (output / "a.o").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".src.changes"}
