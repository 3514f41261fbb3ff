"""The caller's environment is no input: neither keys nor what the commands get depend on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from tests.unit.kernel.test_kbuild import RECORDS, a_tree, configured, lay
from toolkit.core.arch import X86_64
from toolkit.core.observer import Silent
from toolkit.host import process, recording, sandbox
from toolkit.host.cache import Cache
from toolkit.host.recording import Command
from toolkit.kernel import kbuild, toolchain
from toolkit.kernel.kconfig import parse_fragment
from toolkit.series import checkpatch

STRAY = "/stray"
HOSTILE = (
    *("LLVM", "LLVM_IAS", "CC", "LD", "AR", "HOSTCC", "CROSS_COMPILE", "ARCH", "SUBARCH", "O"),
    *("KCFLAGS", "KAFLAGS", "KCPPFLAGS", "KRUSTFLAGS", "CFLAGS", "LDFLAGS", "CPPFLAGS", "W", "C"),
    *("HOSTCFLAGS", "HOSTLDFLAGS", "USERCFLAGS", "CFLAGS_KERNEL", "CFLAGS_MODULE", "V"),
    *("LOCALVERSION", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG", "KCONFIG_SEED", "KCONFIG_DEFCONFIG"),
    *("INSTALL_PATH", "INSTALL_MOD_PATH", "INSTALL_MOD_STRIP", "INSTALL_HDR_PATH", "DEPMOD"),
    *("MAKEFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"),
    *("KBUILD_OUTPUT", "KBUILD_EXTMOD", "KBUILD_EXTRA_SYMBOLS", "KBUILD_MODPOST_WARN"),
    *("KBUILD_SYMTYPES", "KBUILD_CFLAGS", "KBUILD_BUILD_USER", "KBUILD_BUILD_TIMESTAMP"),
    *("KBUILD_SIGN_PIN", "KDEB_PKGVERSION", "SOURCE_DATE_EPOCH", "TZ", "PAHOLE", "PAHOLE_FLAGS"),
    *("CCACHE_DIR", "CCACHE_MAXSIZE", "CCACHE_PREFIX", "CCACHE_SLOPPINESS", "CCACHE_COMPILER"),
    *("GCC_EXEC_PREFIX", "COMPILER_PATH", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH"),
    *("DEPENDENCIES_OUTPUT", "GCC_COLORS", "LD_LIBRARY_PATH", "LD_RUN_PATH", "LDEMULATION"),
    *("PERL5LIB", "PERL5OPT", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "BASH_ENV", "ENV"),
    *("GREP_OPTIONS", "TAR_OPTIONS", "XZ_OPT", "ZSTD_CLEVEL", "RSYNC_RSH", "GIT_DIR", "CDPATH"),
    *("COCCINELLE_HOME", "SPFLAGS", "LC_ALL", "LC_CTYPE", "LANGUAGE", "SSH_AUTH_SOCK"),
)  # fmt: skip
# Where they lie differs from one user to the next, and nothing that is made holds it.
PLACES = ("PATH", "HOME")


class Recorder:
    """Keeps the name of each command with all that its environment has."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Mapping[str, str]]] = []

    def started(self, command: Command) -> None:
        assert command.only_settings, f"{command.argv} gets the caller's whole environment"
        name = Path(command.argv[0]).name
        self.commands.append((name, command.settings))

    def ended(self, command: Command, status: int | None) -> None:
        """Not of interest."""

    def noted(self, text: str) -> None:
        """Not of interest."""


def build(tmp_path: Path, name: str) -> tuple[str, str, list[tuple[str, Mapping[str, str]]]]:
    """Configure and build; return the keys of both, and the commands with their environments."""
    builder = kbuild.Builder(Cache(tmp_path / name), X86_64, lay, 2, Silent())
    recorder = Recorder()
    toolchain._versions.clear()  # which this process has asked for already
    sandbox.probe()  # what is tried for it once is no part of a build
    with recording.recorded(recorder):
        tree = a_tree(**{"records.sh": RECORDS})
        fragment = parse_fragment("CONFIG_MODULES=y", "f")
        config, _ = configured(builder, tree, [fragment])
        kernel, _ = builder.build(tree, config, soon(), tmp_path / f"{name}.log")
    commands: list[tuple[str, Mapping[str, str]]] = []
    for command, settings in recorder.commands:
        own = {key: value for key, value in settings.items() if key not in PLACES}
        cache = str(tmp_path / name)
        commands.append((command, {key: own[key].replace(cache, "") for key in own}))
    return config.key, kernel.key, commands


def test_nothing_of_it_reaches_a_key_or_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HOSTILE:
        monkeypatch.delenv(name, raising=False)
    clean = build(tmp_path, "clean")
    assert [name for name, _ in clean[2]].count("make") == 4, clean  # two of them for Kconfig
    for name in HOSTILE:
        monkeypatch.setenv(name, STRAY)
    hostile = build(tmp_path, "hostile")
    assert hostile == clean
    assert not re.search(rf"{STRAY}\b", str(hostile[2]))


def test_what_a_place_for_temporary_files_is_stays_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no space elsewhere, and the compiler's temporary names are in nothing made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert build(tmp_path, "it")[2][-1][1]["TMPDIR"] == str(tmp_path)


def test_checkpatch_reads_nobody_s_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scripts").mkdir()
    script = 'print "$_=$ENV{$_}\\n" for grep { $ENV{$_} eq "/stray" } keys %ENV;'
    script += 'print "settings\\n" if -e "$ENV{HOME}/.checkpatch.conf";'
    (tmp_path / "scripts/checkpatch.pl").write_text(script)
    (tmp_path / ".checkpatch.conf").write_text("--max-line-length=200\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PERL5LIB", "PERL_HASH_SEED", "MAX_LINE", "KCFLAGS", "KBUILD_VERBOSE"):
        monkeypatch.setenv(name, STRAY)
    assert checkpatch.check(b"", tmp_path, soon()) == ()


def test_the_list_of_what_stays_is_short() -> None:
    assert process.CLEAN == ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")
