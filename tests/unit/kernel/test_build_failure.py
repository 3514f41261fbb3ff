from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.errors import BuildError, InfrastructureError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.kernel.build_failure import Build, explain_failure

SIGN_FILE = [
    "  HOSTCC  scripts/sign-file",
    "/src/scripts/sign-file.c:25:10: fatal error: openssl/opensslv.h: No such file or directory",
    "   25 | #include <openssl/opensslv.h>",
    "      |          ^~~~~~~~~~~~~~~~~~~~",
    "compilation terminated.",
    "make[3]: *** [/src/scripts/Makefile.host:116: scripts/sign-file] Error 1",
]
OBJTOOL = [
    "In file included from /src/tools/objtool/include/objtool/objtool.h:13,",
    "                 from /src/tools/objtool/arch/x86/decode.c:13:",
    "/src/tools/objtool/include/objtool/elf.h:10: fatal error: gelf.h: No such file or directory",
    "make[5]: *** [/src/tools/build/Makefile.build:105: /out/tools/objtool/decode.o] Error 1",
]
OF_HOST_TARGET = [
    "/src/lib/gen_crc32table.c:3:10: fatal error: zlib.h: No such file or directory",
    "make[2]: *** [/src/scripts/Makefile.host:116: lib/gen_crc32table] Error 1",
]
OF_KERNEL = [
    "/src/virt/kvm/eventfd.c:9:10: fatal error: linux/missing.h: No such file or directory",
    "make[4]: *** [/src/scripts/Makefile.build:229: virt/kvm/eventfd.o] Error 1",
]
EXHAUSTED = [
    "ld: final link failed: No space left on device",
    "fs/open.c:99:1: fatal error: error writing to /tmp/cc.s: No space left on device",
    "OSError: [Errno 28] No space left on device",
    "make[2]: vfork: Resource temporarily unavailable",
    "make: *** fork: Cannot allocate memory.  Stop.",
    "/bin/sh: fork: retry: Resource temporarily unavailable",
    "sh: 1: Cannot fork",
    "gcc: fatal error: Killed signal terminated program cc1",
    "collect2: fatal error: ld terminated with signal 9 [Killed]",
    "make[3]: *** [scripts/Makefile.build:229: fs/open.o] Killed",
    "make: *** [Makefile:13: vmlinux] File size limit exceeded",
    "fs/open.c:99:1: fatal error: error writing to /tmp/cc.s: File too large",
    "make[3]: *** [scripts/Makefile.build:229: fs/open.o] CPU time limit exceeded",
    "virtual memory exhausted: Cannot allocate memory",
    "cc1: out of memory allocating 65536 bytes after a total of 1 bytes",
    "fs/open.c:99:1: internal compiler error: Segmentation fault",
    "/bin/bash: line 1:  4242 Killed                  ld -m elf_x86_64 -o vmlinux.o",
    "clang: error: unable to execute command: Killed",
    "clang-19: error: clang frontend command failed with exit code 139 (use -v to see)",
    "clang: error: clang frontend command failed due to signal (use -v to see invocation)",
    "/usr/bin/ld: error: cannot open out.o: Too many open files",
    "{standard input}: Fatal error: can't write 12 bytes to section .text of fs/open.o:"
    " 'No space left on device'",
    "/bin/sh: 1: printf: printf: I/O error",
    "Killed",
    "collect2: fatal error: ld terminated with signal 11 [Segmentation fault], core dumped",
    "clang: error: unable to execute command: Bus error (core dumped)",
    "rustc-LLVM ERROR: out of memory",
    "memory allocation of 1048576 bytes failed",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "MemoryError",
    "fixdep: error opening file: x.d: Input/output error",
    "OSError: [Errno 5] Input/output error",
    "make[2]: stat: kernel/x.c: Stale file handle",
    "cp: error writing 'x': Structure needs cleaning",
    "ccache: error: Failed to create directory /x/y: Permission denied",
    "BTF: .tmp_vmlinux1: pahole version v1.15 is too old, need at least v1.16",
    "*** C compiler is too old.",
    "*** Linker is too old.",
    "scripts/Kconfig.include:45: Sorry, this C compiler is not supported.",
    "make: write error: stdout",
    "make[2]: write error",
    "gcc: fatal error: Bus error signal terminated program cc1",
    "gcc: fatal error: Terminated signal terminated program cc1",
    "collect2: fatal error: ld terminated with signal 15 [Terminated]",
    "make[3]: *** [scripts/Makefile.build:229: fs/open.o] Bus error (core dumped)",
    "make[3]: *** [scripts/Makefile.build:229: fs/open.o] Terminated",
    "make: *** read jobs pipe: Resource temporarily unavailable.  Stop.",
    "make[1]: posix_spawn: Resource temporarily unavailable",
    "BlockingIOError: [Errno 11] Resource temporarily unavailable",
    "mawk: write failure (No space left on device)",
    "lz4: Write error : cannot write compressed block",
    "bzip2: I/O or other error, bailing out.  Possible reason follows.",
    "/bin/bash: xmalloc: cannot allocate 32 bytes",
    "depmod: FATAL: Could not allocate memory",
    "Fatal glibc error: cannot allocate TLS data structures for initial thread",
    "ld.gold: fatal error: out of memory",
    "Out of memory!",
    "Out of memory in perl:util:safesysmalloc",
    "error: linking with `cc` failed: signal: 9 (SIGKILL)",
    "error: rustc interrupted by SIGBUS, printing backtrace",
    "/usr/bin/ld: BFD (GNU Binutils) 2.40 internal error, aborting at ../../bfd/merge.c:939",
    "/usr/bin/ld: final link failed: file truncated",
    "cc1: error: kernel/fork.c: Stale NFS file handle",
    "cat: x: Transport endpoint is not connected",
    "tar: x: Wrote only 4096 of 10240 bytes",
    "/usr/bin/ld: cannot open output file vmlinux: Read-only file system",
    "error: unable to open output file 'kernel/fork.o': 'Read-only file system'",
    "ar: unable to rename 'built-in.a'; reason: Read-only file system",
    "Fatal error: can't create kernel/fork.o: Read-only file system",
    "Cannot create temporary file in /tmp/: Read-only file system",
    "/bin/sh: 1: cannot create kernel/.fork.o.d: Read-only file system",
    "OSError: [Errno 30] Read-only file system: 'kernel/x'",
    "fs/open.c:1:1: fatal error: opening dependency file fs/.open.o.d: Disk quota exceeded",
]
DIAGNOSTIC = "kernel/fork.c:5:3: error: implicit declaration of function 'g'"


def build(
    tmp_path: Path, files: Mapping[str, str | None] = {}, base: Mapping[str, str] = {}
) -> Build:
    """Return the build of a series that gives these files this content, on a base."""
    for name, text in base.items():
        path = tmp_path / "base" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    patched = {
        name: PatchedFile(None if text is None else text.encode()) for name, text in files.items()
    }
    kernel = KernelBase("tree:base", "6.12.1", tmp_path / "base", "base")
    return Build(PatchedTree(kernel, None, patched, "tree"), Path("/src"))


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ("/bin/sh: 1: flex: not found", "flex"),
        ("sh: 1: clang: not found", "clang"),
        ("sh: 1: exec: clang: not found", "clang"),
        ("/bin/sh: pahole: not found", "pahole"),
        ("/bin/sh: line 1: pahole: command not found", "pahole"),
        ("clang: command not found", "clang"),
        ("bash: clang: command not found", "clang"),
        ("/src/scripts/link-vmlinux.sh: line 113: pahole: command not found", "pahole"),
        ("make: clang: No such file or directory", "clang"),
        ("make[3]: pahole: Command not found", "pahole"),
        ("make[1]: ld.lld-17: No such file or directory", "ld.lld-17"),
        ("make[1]: execvp: bc: No such file or directory", "bc"),
        ("/bin/sh: 1: /usr/bin/perl: not found", "perl"),
        ("make[1]: /usr/bin/perl: No such file or directory", "perl"),
        ("env: 'python3': No such file or directory", "python3"),
        ("/usr/bin/env: \u2018python3\u2019: No such file or directory", "python3"),
        ("/bin/sh: 1: scripts/x.py: /usr/bin/python3: bad interpreter: No such file or directory",
         "python3"),
    ],
)  # fmt: skip
def test_a_missing_tool_is_the_hosts_fault_in_any_wording(
    tmp_path: Path, line: str, tool: str
) -> None:
    stop = "make[1]: *** [Makefile:1: x] Error 127"
    for lines in ([line], [line, stop], [DIAGNOSTIC, line, stop]):
        for built in (None, build(tmp_path)):
            error = explain_failure(lines, None, build=built)
            assert isinstance(error, InfrastructureError), lines
            assert error.what.startswith(f"the build needs {tool}, which is not installed")
    series = build(tmp_path, {"scripts/Makefile.new": f"x:\n\t{tool} x\n"})
    assert isinstance(explain_failure([line, stop], None, build=series), BuildError)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("gcc: fatal error: cannot execute 'cc1': execvp: No such file or directory", "cc1"),
        ("gcc: fatal error: cannot execute \u2018as\u2019: posix_spawn: No such file or directory",
         "as"),
        ("collect2: fatal error: cannot find 'ld'", "ld"),
        ('clang: error: unable to execute command: Executable "ld.lld" doesn\'t exist!', "ld.lld"),
        ("clang: error: invalid linker name in argument '-fuse-ld=lld'", "lld"),
        ("flex: fatal internal error, exec of m4 failed", "m4"),
        ("bison: m4 subprocess failed: No such file or directory", "m4"),
        ("as: error while loading shared libraries: libbfd.so: cannot open shared object file:"
         " No such file or directory", "libbfd.so"),
        ("BTF: .tmp_vmlinux.btf: pahole (pahole) is not available", "pahole"),
        ('Makefile:967: *** "Cannot generate ORC metadata for CONFIG_UNWINDER_ORC=y, please install'
         ' libelf-dev, libelf-devel or elfutils-libelf-devel".  Stop.', "libelf-dev"),
        ("/usr/bin/ld: cannot find Scrt1.o: No such file or directory", "Scrt1.o"),
        ("ModuleNotFoundError: No module named 'yaml'", "yaml"),
        ("Can't locate File/Slurp.pm in @INC (you may need to install the File::Slurp module)",
         "File/Slurp"),
    ],
)  # fmt: skip
def test_what_a_tool_lacks_is_the_hosts_fault(tmp_path: Path, line: str, part: str) -> None:
    lines = [line, "make[1]: *** [scripts/Makefile.build:229: fs/open.o] Error 1"]
    for built in (None, build(tmp_path, {"fs/open.c": "/* as ld has it */"})):
        error = explain_failure(lines, None, build=built)
        assert isinstance(error, InfrastructureError)
        assert error.what == f"the build needs {part}, which is not installed on this host"
    if part == "yaml":
        series = build(tmp_path, {"scripts/new.py": "import yaml\n"})
        assert isinstance(explain_failure(lines, None, build=series), BuildError)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("ModuleNotFoundError: No module named 'kdoc.parser'", "scripts/lib/kdoc/parser.py"),
        ("ModuleNotFoundError: No module named 'kdoc'", "scripts/kdoc.py"),
        (
            "Can't locate Kernel/Doc.pm in @INC (you may need to install it)",
            "scripts/Kernel/Doc.pm",
        ),
    ],
)
def test_a_module_that_the_series_moves_is_its_own_fault(
    tmp_path: Path, line: str, file: str
) -> None:
    assert isinstance(explain_failure([line], None, build=build(tmp_path)), InfrastructureError)
    series = build(tmp_path, {file: "# it was elsewhere\n"})
    assert isinstance(explain_failure([line], None, build=series), BuildError)


@pytest.mark.parametrize(
    "words",
    [
        "/bin/sh: 1: {}: not found",
        "make[2]: {}: No such file or directory",
        "bash: line 1: {}: cannot execute: required file not found",
    ],
)
def test_a_script_whose_interpreter_the_host_lacks(tmp_path: Path, words: str) -> None:
    source = tmp_path / "src"
    (source / "scripts").mkdir(parents=True)
    (source / "scripts/it.pl").write_text("#!/nowhere/perl -w\n")
    (source / "scripts/fine.sh").write_text("#!/bin/sh\n")

    def blamed(name: str, **files: str) -> str:
        tree = build(tmp_path, files).tree
        line = words.format(source / "scripts" / name)
        error = explain_failure([line], None, build=Build(tree, source))
        return error.what if isinstance(error, InfrastructureError) else ""

    assert blamed("it.pl").startswith("the build needs perl,")
    assert blamed("fine.sh") == blamed("absent.sh") == ""
    assert blamed("it.pl", **{"scripts/it.pl": "#!/nowhere/perl -w\n"}) == ""


def test_a_tool_that_the_base_needs_is_the_hosts_though_the_series_touches_its_makefile(
    tmp_path: Path,
) -> None:
    line = "make: pahole: No such file or directory"
    base = {"Makefile": "PAHOLE = pahole\n"}
    series = build(tmp_path, {"Makefile": "PAHOLE = pahole\nnew: ; other-tool\n"}, base)
    assert isinstance(explain_failure([line], None, build=series), InfrastructureError)


def test_a_tool_whose_lack_was_ignored_is_no_reason(tmp_path: Path) -> None:
    lines = ["sh: 1: dpkg-architecture: not found", DIAGNOSTIC, "make: *** [x] Error 1"]
    error = explain_failure(lines, None, build=build(tmp_path))
    assert isinstance(error, BuildError)
    assert DIAGNOSTIC in error.detail


@pytest.mark.parametrize("line", EXHAUSTED)
def test_what_the_host_ran_out_of_is_its_own_fault(tmp_path: Path, line: str) -> None:
    stop = "make: *** [Makefile:1: x] Error 1"
    error = explain_failure([DIAGNOSTIC, line, stop], None, build=build(tmp_path))
    assert isinstance(error, InfrastructureError)
    assert error.hint
    assert error.detail == (line,)


@pytest.mark.parametrize(
    "line",
    [
        'x.c:1:2: error: #error "disk: No space left on device"',
        '    9 |  pr_err("disk: No space left on device");',
        "x.c:1:2: warning: sh: 1: flex: not found [-Wcpp]",
        "x.c:1:9: fatal error: disk: No space left on device: No such file or directory",
        "x.S:5: Error: No space left on device",
        "{standard input}:5: Error: .error directive invoked: Cannot allocate memory",
    ],
)
def test_the_words_of_the_source_are_not_the_hosts(tmp_path: Path, line: str) -> None:
    lines = [line, DIAGNOSTIC]
    assert isinstance(explain_failure(lines, None, build=build(tmp_path)), BuildError)


@pytest.mark.parametrize(
    ("line", "added"),
    [
        ("fs/Makefile:3: *** No space left on device.  Stop.", "$(error No space left on device)"),
        ("fs: Cannot allocate memory", '\techo "fs: Cannot allocate memory"; exit 1'),
        ("error: Input/output error", 'compile_error!("Input/output error");'),
        ("touch: cannot touch 'fs/mark': Read-only file system", "\ttouch fs/mark"),
        ("make[1]: unlink: it: Read-only file system", 'echo "it: Read-only file system"'),
    ],
)
def test_the_words_that_a_series_adds_are_not_the_hosts(
    tmp_path: Path, line: str, added: str
) -> None:
    lines = [line, "make: *** [Makefile:1: fs] Error 2"]
    assert isinstance(explain_failure(lines, None, build=build(tmp_path)), InfrastructureError)
    series = build(tmp_path, {"fs/Makefile": f"{added}\n"})
    assert isinstance(explain_failure(lines, None, build=series), BuildError)


def test_the_name_of_a_file_of_the_series_is_not_the_hosts(tmp_path: Path) -> None:
    line = "cp: cannot stat 'fs/x: No space left on device': No such file or directory"
    series = build(tmp_path, {"fs/x: No space left on device": "text\n"})
    assert isinstance(explain_failure([line], None, build=series), BuildError)


def test_a_single_word_of_the_series_explains_no_kill(tmp_path: Path) -> None:
    series = build(tmp_path, {"mm/oom_kill.c": "/* Killed */\n"})
    assert isinstance(explain_failure(["Killed"], None, build=series), InfrastructureError)


@pytest.mark.parametrize(
    "line",
    [
        "touch: cannot touch '/src/usr/x': Read-only file system",
        "touch: cannot touch '../linux/usr/x': Read-only file system",
        "/bin/sh: 1: cannot create source/usr/x: Read-only file system",
        "OSError: [Errno 30] Read-only file system: '/src/usr/x'",
    ],
)
def test_a_makefile_that_writes_into_its_source_is_at_fault(tmp_path: Path, line: str) -> None:
    assert isinstance(explain_failure([line], None, build=build(tmp_path)), BuildError)


def test_a_read_only_source_of_a_suite_is_no_fault_of_the_hosts() -> None:
    line = "mkdir: cannot create directory 'out': Read-only file system"
    assert isinstance(explain_failure([line], None), BuildError)


def test_a_host_program_that_the_series_changes_may_crash_itself(tmp_path: Path) -> None:
    line = "make[3]: *** [scripts/Makefile.build:229: fs/open.o] Bus error (core dumped)"
    series = build(tmp_path, {"tools/objtool/check.c": "int x;\n"})
    assert isinstance(explain_failure([line], None, build=series), BuildError)


@pytest.mark.parametrize(
    ("lines", "header"),
    [(SIGN_FILE, "openssl/opensslv.h"), (OBJTOOL, "gelf.h"), (OF_HOST_TARGET, "zlib.h")],
)
def test_a_header_of_the_hosts_programs_is_the_hosts_fault(
    tmp_path: Path, lines: list[str], header: str
) -> None:
    error = explain_failure(lines, None, build=build(tmp_path))
    assert isinstance(error, InfrastructureError)
    assert error.what.startswith(f"the build needs {header}, ")
    package = {"openssl/opensslv.h": "libssl-dev", "gelf.h": "libelf-dev"}.get(header, "")
    assert error.hint.endswith(f": {package})" if package else "that has this header")
    assert isinstance(explain_failure(lines, None), BuildError), "a selftest's own matter"


def test_a_header_that_the_series_asks_for_or_removes_is_its_own_fault(tmp_path: Path) -> None:
    include = "#include <openssl/opensslv.h>\n"
    adds = build(tmp_path, {"scripts/sign-file.c": include})
    assert isinstance(explain_failure(SIGN_FILE, None, build=adds), BuildError)
    touches = build(
        tmp_path, {"scripts/sign-file.c": f"{include}int x;\n"}, {"scripts/sign-file.c": include}
    )
    assert isinstance(explain_failure(SIGN_FILE, None, build=touches), InfrastructureError)
    removes = build(tmp_path, {"tools/include/gelf.h": None})
    assert isinstance(explain_failure(OBJTOOL, None, build=removes), BuildError)
    assert isinstance(explain_failure(OF_KERNEL, None, build=build(tmp_path)), BuildError)


def test_a_library_is_the_hosts_fault_unless_the_series_links_it(tmp_path: Path) -> None:
    lines = ["/usr/bin/ld: cannot find -lelf: No such file or directory", "make: *** [x] Error 1"]
    error = explain_failure(lines, None, build=build(tmp_path))
    assert isinstance(error, InfrastructureError)
    assert "libelf" in error.what
    series = build(tmp_path, {"tools/objtool/Makefile": "LDLIBS += -lelf\n"})
    assert isinstance(explain_failure(lines, None, build=series), BuildError)


def test_the_context_of_an_error_is_kept_and_noise_is_not() -> None:
    lines = [
        "  CC      virt/kvm/kvm_main.o",
        "virt/kvm/kvm_main.c: In function 'f':",
        "virt/kvm/kvm_main.c:5:3: error: implicit declaration of function 'g'",
        "    5 |   g();",
        "      |   ^",
        "  CC      fs/open.o",
        "make[4]: *** [scripts/Makefile.build:229: virt/kvm/kvm_main.o] Error 1",
    ]
    detail = explain_failure(lines, None).detail
    assert detail == (*lines[1:5], lines[6])


@given(st.lists(st.text(max_size=80), max_size=30))
def test_any_output_gives_an_error_to_raise(lines: list[str]) -> None:
    tree = PatchedTree(KernelBase("t", "6.12.1", Path("/nowhere"), "k"), None, {}, "t")
    error = explain_failure(lines, None, build=Build(tree, Path("/src")))
    assert isinstance(error, BuildError | InfrastructureError)
