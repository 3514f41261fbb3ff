from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError
from toolkit.kernel.incremental import replay
from toolkit.kernel.make import Make

CONFIG = "CONFIG_MODULES=y\n"
NAMES = ["kvm/kvm.ko", "lib/one.ko"]
FIXDEP = """#!/bin/sh
printf '%s_%s := %s\\n\\n' "$(cat prefix)" "$2" "$3"
printf 'source_%s := %s\\n\\ndeps_%s := ' "$2" "${2%.o}.c" "$2"
cat "$1"
printf '\\n%s: $(deps_%s)\\n\\n$(deps_%s):\\n' "$2" "$2" "$2"
"""
OBJTOOL = "\n{}: $(wildcard ./tools/objtool/objtool)\n"


class Folder:
    """A build folder with two modules: one of two objects, and one that is an object itself."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path = path
        for name in ("kvm", "virt", "lib", "scripts/basic"):
            (path / name).mkdir(parents=True)
        (path / "prefix").write_text(prefix)
        (path / "scripts/basic/fixdep").write_text(FIXDEP)
        (path / "scripts/basic/fixdep").chmod(0o755)
        self.prefix = prefix
        self.lines: list[str] = []
        for name in ("kvm/../virt/a", "kvm/b", "lib/one", "kvm/kvm.mod", "lib/one.mod"):
            self.object(name)
        (path / "kvm/kvm.mod").write_text("kvm/../virt/a.o\nkvm/b.o\n")
        (path / "lib/one.mod").write_text("lib/one.o\n")
        self.link("kvm/kvm.o", "cat $$(cat kvm/kvm.mod) >kvm/kvm.o")
        self.link("kvm/kvm.ko", "cat kvm/kvm.o kvm/kvm.mod.o >kvm/kvm.ko")
        self.link("lib/one.ko", "cat lib/one.o lib/one.mod.o >lib/one.ko")
        self.link("Module.symvers", "sh modpost >Module.symvers")
        self.modpost("true")
        (path / "kvm/kvm.o").write_text("old\n")
        for stem in ("kvm/kvm", "lib/one"):
            (path / f"{stem}.mod.c").write_text("nothing\n")
        for name in ("kvm/kvm.mod.o", "lib/one.mod.o", "kvm/kvm.ko", "lib/one.ko"):
            (path / name).write_text("old\n")

    @property
    def steps(self) -> list[str]:
        return [line for line in self.lines if line.startswith("  ")]

    def record(self, target: str) -> Path:
        return Path(target).with_name(f".{Path(target).name}.cmd")

    def object(self, name: str, command: str = "") -> None:
        """Have an object whose compiler copies its source."""
        depends = str(Path(name).with_name(f".{Path(name).name}.o.d"))
        command = command or f"cp {name}.c {name}.o"
        whole = f"gcc() {{ echo x.h >{depends}; {command}; }}; gcc -Wp,-MMD,{depends} -c"
        target = f"{name}.o"
        (self.path / f"{name}.c").write_text(f"{name}\n")
        (self.path / target).write_text("old\n")
        (self.path / self.record(target)).write_text(
            f"{self.prefix}_{target} := {whole}\n\nsource_{target} := {name}.c\n\n"
            f"deps_{target} := old.h\n\n{target}: $(deps_{target})\n\n$(deps_{target}):\n"
            + OBJTOOL.format(target)
        )

    def link(self, target: str, command: str) -> None:
        (self.path / self.record(target)).write_text(f"{self.prefix}_{target} := {command}\n")

    def modpost(self, command: str) -> None:
        (self.path / "modpost").write_text(f"{command}\necho symbols\n")

    def replay(self, *targets: str, config: str = CONFIG, limit: Deadline | None = None) -> bool:
        make = Make(self.path, self.path, "x86_64", 2, limit or soon(), self.path / "log")
        records = [Path(str(self.record(target))) for target in targets]
        self.lines.clear()
        return replay.modules(make, config, NAMES, records, self.lines.append)

    def said(self, name: str) -> str:
        return (self.path / name).read_text()


@pytest.fixture(params=["savedcmd", "cmd"])  # since Linux 6.3, and before
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    return Folder(tmp_path, request.param)


def test_an_object_and_what_it_is_linked_into_are_made_again(folder: Folder) -> None:
    before = folder.said("virt/.a.o.cmd")
    assert folder.replay("virt/a.o")
    assert folder.said("kvm/kvm.ko") == "kvm/../virt/a\nold\nold\n"
    assert folder.said("Module.symvers") == "symbols\n"
    assert folder.said("lib/one.ko") == "old\n"
    assert not (folder.path / "virt/.a.o.d").exists()
    # What kbuild has recorded is as it was but for the new dependencies.
    assert folder.said("virt/.a.o.cmd") == before.replace("old.h", "x.h")
    assert folder.steps == [
        "  CC [M]  virt/a.o",
        "  LD [M]  kvm/kvm.o",
        "  MODPOST Module.symvers",
        "  LD [M]  kvm/kvm.ko",
    ]
    assert "cat kvm/kvm.o kvm/kvm.mod.o >kvm/kvm.ko\n" in folder.said("log")


def test_a_module_of_one_object_has_no_link_of_its_own(folder: Folder) -> None:
    assert folder.replay("lib/one.o", "kvm/b.o")
    assert folder.said("lib/one.ko") == "lib/one\nold\n"
    assert folder.said("kvm/kvm.ko") == "old\nkvm/b\nold\n"


def test_what_modpost_says_anew_is_compiled(folder: Folder) -> None:
    folder.modpost("echo depends on kvm >lib/one.mod.c")
    assert folder.replay("virt/a.o")
    assert folder.said("lib/one.ko") == "old\ndepends on kvm\n"
    assert folder.said("kvm/kvm.ko") == "kvm/../virt/a\nold\nold\n"


def test_a_header_that_a_description_reads(folder: Folder) -> None:
    assert folder.replay("kvm/kvm.mod.o")
    assert folder.said("kvm/kvm.ko").endswith("nothing\n")
    assert folder.said("lib/one.ko") == "old\n"


def test_nothing_to_make_runs_nothing(folder: Folder) -> None:
    assert folder.replay()
    assert not folder.lines
    assert not (folder.path / "log").exists()


def test_signs_that_make_escapes(folder: Folder) -> None:
    folder.object("virt/a", "printf '%s' '$$HOME $(pound) $$$$(pound)' >virt/a.o")
    assert folder.replay("virt/a.o")
    assert folder.said("virt/a.o") == "$HOME # $$(pound)"
    assert "'$$HOME $(pound) $$$$(pound)'" in folder.said("virt/.a.o.cmd")


def test_an_object_that_does_not_compile_has_no_record(folder: Folder) -> None:
    """So make compiles it again, whatever the times of the files say."""
    folder.object("kvm/b", "echo no >&2; false")
    assert not folder.replay("kvm/b.o")
    assert not (folder.path / "kvm/.b.o.cmd").exists()
    assert "\nno\n" in folder.said("log")


@pytest.mark.parametrize("name", ["virt/.a.o.cmd", "kvm/.kvm.o.cmd", ".Module.symvers.cmd"])
@pytest.mark.parametrize("text", ["", "what := is this\n", "cmd_virt/a.o := as\n\nsource_x := a.S"])
def test_a_record_that_says_something_else_is_left_to_kbuild(
    folder: Folder, name: str, text: str
) -> None:
    (folder.path / name).write_text(text)
    if name == "virt/.a.o.cmd" or not text.startswith("cmd"):
        assert not folder.replay("virt/a.o")


@pytest.mark.parametrize(
    "gone", ["kvm/.b.o.cmd", "kvm/kvm.mod", "kvm/kvm.mod.c", "scripts/basic/fixdep"]
)
def test_a_file_that_is_not_there_is_left_to_kbuild(folder: Folder, gone: str) -> None:
    (folder.path / gone).unlink()
    assert not folder.replay("kvm/b.o")


@pytest.mark.parametrize("option", ["CONFIG_MODVERSIONS=y", "CONFIG_DEBUG_INFO_BTF_MODULES=y"])
def test_what_kbuild_does_beside_its_commands_is_left_to_it(folder: Folder, option: str) -> None:
    assert not folder.replay("kvm/b.o", config=f"{CONFIG}{option}\n")
    assert not folder.lines


@pytest.mark.parametrize("name", ["virt/.a.o.cmd", "kvm/.kvm.ko.cmd", "kvm/kvm.mod.c"])
def test_a_command_cannot_have_the_toolkit_write_or_read_elsewhere(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_text("mine\n")
    make_link = f"ln -sfn {outside} {name}"
    folder.object("virt/a", f"cp virt/a.c virt/a.o; {make_link}; {make_link} || :")
    folder.replay("virt/a.o")
    assert outside.read_text() == "mine\n"


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(folder: Folder) -> None:
    folder.object("virt/a", "cp virt/a.c virt/a.o; rm kvm/.kvm.ko.cmd; mkfifo kvm/.kvm.ko.cmd")
    assert not folder.replay("virt/a.o", limit=Deadline.after(20))
    assert not (folder.path / "kvm/.kvm.ko.cmd").exists()


@pytest.mark.parametrize("rest", ["endef\n", "define x\n", "a\\\n"])
def test_a_record_with_text_that_no_variable_holds_is_left_to_kbuild(
    folder: Folder, rest: str
) -> None:
    with (folder.path / "virt/.a.o.cmd").open("a") as record:
        record.write(rest)
    assert not folder.replay("virt/a.o")
    assert not folder.lines


def test_it_ends_with_its_deadline(folder: Folder) -> None:
    folder.object("kvm/b", "sleep 60")
    with pytest.raises(DeadlineError):
        folder.replay("kvm/b.o", limit=Deadline.after(0.3))
