"""The compiler that chooses how each program of the tree's own selftests is linked."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from toolkit.core.arch import ARM64, X86_64
from toolkit.formats import elf
from toolkit.kernel.toolchain import GCC, Toolchain
from toolkit.testing import shared_libraries

PLACE = "/kselftest/upstream-exec/.lib"
SHARED = [
    f"-Wl,--dynamic-linker={PLACE}/ld-linux-x86-64.so.2",
    f"-Wl,-rpath,{PLACE},--disable-new-dtags",
]
WARNING = (
    "ld: a.o: warning: Using 'dlopen' in statically linked applications requires at runtime the "
    "shared libraries from the glibc version used for linking"
)
# Notes how it is called and what it reads; fails with -static where a library has no archive.
COMPILER = f"""#!/bin/sh
input=
for word; do [ "$word" = - ] && input=$(cat); done
printf '%s\\n' "$*|$input" >> "$CALLS"
echo "says $1"
case " $* " in
*" -static "*" -lonly-shared "*) echo "no archive" >&2; exit 1 ;;
*" -static "*" -ldl "*) echo "{WARNING}" >&2 ;;
*" broken.c "*) echo "broken.c:1: error ($1)" >&2; exit 3 ;;
*" dubious.c "*) echo "dubious.c:1: warning" >&2 ;;
esac
"""


@dataclass(frozen=True)
class Wrapped:
    """A compiler that only takes notes, behind the wrapper."""

    wrapper: str
    calls: Path
    path: str

    def run(self, *words: str, source: str = "") -> subprocess.CompletedProcess[str]:
        """Call the wrapper as make does, which finds the compiler on the PATH."""
        self.calls.write_text("")
        env = {"PATH": self.path, "CALLS": str(self.calls)}
        argv = [self.wrapper, *words]
        return subprocess.run(
            argv, env=env, input=source, capture_output=True, text=True, check=False
        )

    def called(self, *words: str, source: str = "") -> list[str]:
        """Return with what words, and what input, the compiler was called."""
        self.run(*words, source=source)
        return self.calls.read_text().splitlines()


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory) -> Wrapped:
    folder = tmp_path_factory.mktemp("wrapped")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "gcc-12").write_text(COMPILER)
    (programs / "gcc-12").chmod(0o755)
    compiler = shared_libraries.wrap(
        Toolchain("gcc-12"), "upstream-exec", X86_64, folder / "compilers"
    )
    return Wrapped(compiler, folder / "calls", f"{programs}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    "words",
    [
        "-c a.c -o a.o",
        "-pie -c a.c",
        "-S a.c",
        "-dM -E -x c /dev/null",
        "-M a.c",
        "-MM a.c",
        "-fsyntax-only a.c",
        "-shared -fPIC a.c -o liba.so",
        "-nostdlib -shared a.c -o vdso.so",
        "-fPIE -static-pie a.c",
        "-static a.c",
        "-static -pie a.c",
        "-nostdlib -static a.c",
        "-r a.o b.o -o c.o",
        "-fsanitize=address -shared a.c",
        "--version",
        "-print-file-name=libc.a",
        "--print-search-dirs",
        "-dumpmachine",
        "-### a.c",
    ],
)
def test_what_is_no_link_or_names_its_mode_goes_on_as_it_is(wrapped: Wrapped, words: str) -> None:
    assert wrapped.called(*words.split()) == [f"{words}|"]


@pytest.mark.parametrize(
    "words",
    [
        "a.c -o a",
        "-O2 -MD -MMD -MF a.d a.c -lpthread -o a",
        "-o /dev/null trivial_64bit_program.c -O0",
        "-o /dev/null trivial_program.c -O0 -no-pie",
        "-pie -no-pie a.c",
        "-nostdlib a.c",
        "-Wl,-z,max-page-size=0x1000 a.c",
        "-static-libasan a.c",
        "-m32 a.c -ldl",
    ],
)
def test_other_programs_are_linked_statically(wrapped: Wrapped, words: str) -> None:
    assert wrapped.called(*words.split()) == [f"-static {words}|"]


@pytest.mark.parametrize(
    "words", ["-fPIE -pie a.c", "-no-pie -pie a.c", "-fsanitize=address -static-libasan a.c"]
)
def test_what_static_would_break_unnoticed_is_linked_with_libraries(
    wrapped: Wrapped, words: str
) -> None:
    assert wrapped.called(*words.split()) == [f"{' '.join(SHARED)} {words}|"]


def test_a_program_of_another_word_size_cannot_use_those_libraries(wrapped: Wrapped) -> None:
    assert wrapped.called("-m32", "-pie", "a.c") == ["-m32 -pie a.c|"]
    assert wrapped.called("-m32", "-m64", "-pie", "a.c") == [
        f"{' '.join(SHARED)} -m32 -m64 -pie a.c|"
    ]
    words = ["-m32", "a.c", "-lonly-shared"]
    assert wrapped.called(*words) == [f"-static {' '.join(words)}|", f"{' '.join(words)}|"]


@pytest.mark.parametrize("library", ["-lonly-shared", "-ldl"])
def test_what_cannot_be_linked_statically_is_linked_again(wrapped: Wrapped, library: str) -> None:
    words = f"a.c {library} -o a"
    assert wrapped.called(*words.split()) == [f"-static {words}|", f"{' '.join(SHARED)} {words}|"]
    ended = wrapped.run(*words.split())
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_source_that_is_piped_in_is_there_for_both_links(wrapped: Wrapped) -> None:
    words = ["-x", "c", "-", "-lonly-shared", "-o", "/dev/null"]
    source = "int main(void) { return 0; }\n"
    calls = wrapped.called(*words, source=source)
    assert [call.partition("|")[2] for call in calls] == [source.strip()] * 2
    assert wrapped.called("-c", "-x", "c", "-", source=source) == [f"-c -x c -|{source.strip()}"]


def test_what_the_compiler_says_and_how_it_ends_comes_through(wrapped: Wrapped) -> None:
    ended = wrapped.run("dubious.c")
    said = (ended.returncode, ended.stdout, ended.stderr)
    assert said == (0, "says -static\n", "dubious.c:1: warning\n")
    ended = wrapped.run("broken.c")
    assert ended.returncode == 3
    assert ended.stderr == f"broken.c:1: error ({SHARED[0]})\n"  # once


@given(st.lists(st.text("ab-=,./'\" $*\\", max_size=8).filter(lambda word: word != "-")))
@example(["a b", "", "*", "$HOME", "'"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_words_arrive_as_they_are(wrapped: Wrapped, words: list[str]) -> None:
    assert wrapped.called("-c", *words) == [" ".join(["-c", *words]) + "|"]


def test_it_is_called_like_the_compiler_and_names_no_place_of_this_host(tmp_path: Path) -> None:
    cross = Toolchain("clang-19", "aarch64-linux-gnu")
    compiler = shared_libraries.wrap(cross, "upstream-exec", ARM64, tmp_path / "compilers")
    assert compiler == f"{tmp_path}/compilers/clang-19 --target=aarch64-linux-gnu"
    text = (tmp_path / "compilers/clang-19").read_text()
    assert str(tmp_path) not in text
    assert "\ncompiler=clang-19\n" in text
    assert f"{PLACE}/ld-linux-aarch64.so.1" in text
    # Again, with another suite, in a folder in which a Makefile may have left anything.
    (tmp_path / "compilers/clang-19").unlink()
    (tmp_path / "compilers/clang-19").symlink_to(tmp_path / "elsewhere")
    shared_libraries.wrap(cross, "upstream-rseq", ARM64, tmp_path / "compilers")
    assert not (tmp_path / "elsewhere").exists()
    assert "/kselftest/upstream-rseq/" in (tmp_path / "compilers/clang-19").read_text()


STARTS = "int main(void) { return 0; }\n"
LOADS = (
    '#include <dlfcn.h>\nint main(void) { return dlopen("linux-vdso.so.1", RTLD_NOLOAD) == 0; }\n'
)


@pytest.mark.parametrize(
    ("words", "source", "interpreter", "kind"),
    [
        ("", STARTS, "", "EXEC"),
        ("-fPIE -pie", STARTS, SHARED[0].partition("=")[2], "DYN"),
        ("-fPIE -static-pie", STARTS, "", "DYN"),
        ("-fsanitize=address", STARTS, SHARED[0].partition("=")[2], "DYN"),
        ("-nostdlib -Wl,-e,main", STARTS, "", "EXEC"),
        ("-r", STARTS, "", "REL"),
        ("-shared -fPIC", STARTS, "", "DYN"),
        ("", LOADS, SHARED[0].partition("=")[2], "DYN"),
    ],
)
def test_what_a_real_compiler_makes_of_it(
    tmp_path: Path, words: str, source: str, interpreter: str, kind: str
) -> None:
    (tmp_path / "a.c").write_text(source)
    compiler = shared_libraries.wrap(GCC, "upstream-exec", X86_64, tmp_path / "compilers")
    argv = [*compiler.split(), *words.split(), "a.c", "-o", "a"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    data = (tmp_path / "a").read_bytes()
    assert elf.wants(data).interpreter == interpreter
    assert ["", "REL", "EXEC", "DYN"][data[16]] == kind  # e_type
