"""The options that several commands share, and how a shell completes them."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolkit.core.errors import ToolkitError

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.
if TYPE_CHECKING:
    from toolkit.core.arch import Arch

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  toolkit build-and-test --patch v4
  toolkit build-and-test --patch iosignalfd/v4 --kernel debian:6.1 --accel tcg
  toolkit build-and-test --patch v4 --baseline
  toolkit build-and-test --patch ./my-series --suite kvm --test 'iosignalfd_*'
  toolkit build-and-test --patch series.mbox --kernel git:$HOME/linux@v6.12
  toolkit build-and-test --patch MESSAGE-ID --kernel auto:$HOME/linux --suite kvm
"""

_KERNEL_HELP = (
    "The base: debian:6.12, debian-image:6.12 (Debian's built kernel: only modules that the series "
    "reaches are compiled), tarball:PATH-or-URL#sha256=…, git:PATH@REV, tree:PATH, or auto:PATH, "
    "the newest in a repository that the series applies to."
)


def several(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that applies all of them, so that --help lists them in this order."""

    def add(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return add


def with_programs(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command with each --program as a suite of its own."""
    if not given.get("programs"):
        return given
    from toolkit.testing import outside_suites

    named = (f"{outside_suites.PROGRAM}{file}" for file in given["programs"])
    return {**given, "suites": (*given.get("suites", ()), *named), "programs": ()}


def complete_series(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the series whose full or short name begins with ``incomplete``."""
    from toolkit.core import paths
    from toolkit.series import catalog

    names: list[str] = []
    with contextlib.suppress(ToolkitError, OSError):
        for name in catalog.names(paths.resolve().patches):
            names += [name, name.rpartition("/")[2]]
    return sorted({name for name in names if name.startswith(incomplete)})


def complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the carried profiles whose name begins with ``incomplete``."""
    from toolkit.kernel import profile

    return [name for name in profile.names() if name.startswith(incomplete)]


def complete_config(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the words for a starting configuration that begin with ``incomplete``."""
    return [word for word in ("tiny", "defconfig", "distro") if word.startswith(incomplete)]


def complete_toolchain(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the toolchains that are installed and whose name begins with ``incomplete``."""
    from toolkit.kernel import toolchain

    names = [each.name for each in toolchain.installed()]
    return [name for name in names if name.startswith(incomplete)]


def complete_arch(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the architectures whose name begins with ``incomplete``."""
    from toolkit.core import arch

    return [name for name in arch.KNOWN if name.startswith(incomplete)]


def architecture(name: str | None) -> Arch:
    """Return the architecture that --arch names, or without it the host's; raises as they do."""
    from toolkit.core import arch

    return arch.parse(name) if name else arch.host_arch()


class Number(click.FloatRange):
    """A number in a range; nan is in none."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number that ``value`` says; fail as click's types do."""
        number = float(super().convert(value, parameter, context))
        if math.isnan(number):
            self.fail(f"{value!r} is no number", parameter, context)
        return number


def parse_shard(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return both numbers of ``I/N``, the I-th of N parts; what is none is refused."""
    if value is None:
        return None
    number, _slash, shards = value.partition("/")
    parts = [int(each) for each in (number, shards) if re.fullmatch(r"\d{1,9}", each)]
    if len(parts) == 2 and 1 <= parts[0] <= parts[1]:
        return parts[0], parts[1]
    raise click.BadParameter(f"{value!r} is no part: write 2/4 for the second of four")


VERSION = click.option(
    "--version",
    "series_version",
    type=click.IntRange(1),
    metavar="N",
    help="Which version of the series in a thread; default: the newest.",
)
PATCH = several(
    click.option(
        "--patch",
        "-p",
        metavar="SERIES",
        shell_complete=complete_series,
        help="v4, topic/v4, a folder, a quilt series, a mailbox, a message-id or its URL, "
        "git:PATH@A..B, or - (standard input).",
    ),
    VERSION,
)
KERNEL = click.option(
    "--kernel", "-k", default="debian:6.12", show_default=True, metavar="SOURCE", help=_KERNEL_HELP
)
ARCH = click.option(
    "--arch",
    metavar="NAME",
    shell_complete=complete_arch,
    help="What kernel and guest are for: x86_64, arm64 or riscv64; default: as the host.",
)
BUILD = several(
    ARCH,
    click.option(
        "--config",
        default="tiny",
        show_default=True,
        metavar="START",
        shell_complete=complete_config,
        help="What the configuration begins with: tiny, defconfig, distro (Debian's own for this "
        "release, or distro:cloud-amd64), or a .config.",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME|FILE",
        shell_complete=complete_profile,
        help="Options on top: debug (KASAN, lockdep, kmemleak, fault injection), faults (the last "
        "alone), preempt-rt, preempt-none, debug-info, or a file of them.",
    ),
    click.option(
        "--kconfig", multiple=True, metavar="CONFIG_X=y", help="One more option, above all others."
    ),
    click.option(
        "--all-modules",
        is_flag=True,
        help="Build each module of --config, not only those that are asked for or touched.",
    ),
    click.option(
        "--toolchain",
        metavar="NAME",
        shell_complete=complete_toolchain,
        help="What compiles kernel and suites: gcc (the default), clang (with LLVM's linker and "
        "tools), or one version of them: gcc-11, clang-19.",
    ),
    click.option(
        "--kcflags",
        metavar="FLAGS",
        help="Further flags for what compiles the kernel, as in '-O3 -Wno-error'.",
    ),
    click.option(
        "--no-replay",
        "replay",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Run make after every edit, also where the commands that kbuild recorded would do.",
    ),
    click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1),
        help="Parallel jobs; default: one for each usable CPU.",
    ),
    click.option(
        "--verbose",
        "-v",
        is_flag=True,
        help="Show each command as it starts; the run folder's commands.log has them in any case.",
    ),
    click.option(
        "--run-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where to put results; default: a new folder under the XDG state folder.",
    ),
)
SHARED_CACHE = click.option(
    "--shared-cache",
    metavar="URL",
    envvar="TOOLKIT_SHARED_CACHE",
    help="A folder, s3://BUCKET/… or sftp://HOST/… where hosts share what they have built; "
    "default: $TOOLKIT_SHARED_CACHE.",
)
PROGRAM = click.option(
    "--program",
    "programs",
    multiple=True,
    metavar="FILE",
    help="A script or binary to run as a test; its exit status is the verdict.",
)
RUN = several(
    KERNEL,
    click.option(
        "--suite",
        "-s",
        "suites",
        multiple=True,
        help="A suite, upstream:TARGET (or a glob: 'upstream:net*'), kunit[:GLOB], "
        "kvm-unit-tests:PATH, or a folder in kselftest form: ./my-suite.",
    ),
    PROGRAM,
    BUILD,
    click.option("--cold", is_flag=True, help="Ignore what the cache has."),
    SHARED_CACHE,
)
MACHINE = several(
    click.option("--image", default="minimal", show_default=True, help="minimal, debian, tools, …"),
    click.option(
        "--package",
        "packages",
        multiple=True,
        metavar="NAME",
        help="A Debian package to add to the image (debian or tools).",
    ),
    click.option(
        "--accel",
        type=click.Choice(["auto", "kvm", "tcg"]),
        default="auto",
        show_default=True,
        help="auto takes KVM if it passes a test, and else TCG.",
    ),
    click.option(
        "--no-snapshots",
        "snapshots",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Boot each machine instead of restoring a saved one.",
    ),
    click.option(
        "--append", multiple=True, metavar="WORD", help="A word for the kernel's command line."
    ),
)
COVERAGE = several(
    click.option(
        "--coverage", is_flag=True, help="Show which lines of the series the programs ran (gcov)."
    ),
    click.option(
        "--coverage-fail-under",
        type=Number(0, 100),
        metavar="PERCENT",
        help="Fail if they ran fewer of them; implies --coverage.",
    ),
)
SAVED = click.option(
    "--from",
    "saved",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder that `build --save` wrote; nothing is built then.",
)


def _variables(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = tuple((name, value) for name, _, value in (text.partition("=") for text in values))
    for text, (name, _) in zip(values, pairs, strict=True):
        if "=" not in text or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return pairs


CONDITIONS = several(
    click.option(
        "--env",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_variables,
        help="What the test programs find in their environment.",
    ),
    click.option(
        "--timeout-factor",
        type=Number(0.01, 1000),
        metavar="FACTOR",
        help="Give each test program so many times its limit.",
    ),
    click.option(
        "--deadline",
        "seconds",
        type=Number(1, 10_000_000),
        metavar="SECONDS",
        help="How long the whole run may take; default: 7200.",
    ),
)
SLOW = click.option("--slow", is_flag=True, help="Run the cases marked slow, too.")
TESTS = several(
    click.option(
        "--test", "-t", "tests", multiple=True, metavar="GLOB", help="Only these programs."
    ),
    click.option(
        "--shard",
        metavar="I/N",
        callback=parse_shard,
        help="Only the I-th of N parts of the programs, which are dealt out in turn.",
    ),
    SLOW,
    CONDITIONS,
    click.option(
        "--isolation",
        type=click.Choice(["case", "program", "suite"]),
        default="program",
        show_default=True,
        help="What gets a fresh machine.",
    ),
    click.option(
        "--machines",
        type=click.IntRange(1),
        help="How many run at a time; default: as CPUs and memory allow.",
    ),
)
REPEAT = click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Run each program N times: a fault that shows one time in five shows in ten.",
)
BASELINE = click.option(
    "--baseline",
    is_flag=True,
    help="Run the same tests on the unpatched base; only what is new and bad fails.",
)
CONFIDENCE = click.option(
    "--confidence",
    type=Number(0.5, 0.9999),
    help="The confidence at which a difference counts as real; default: 0.99.",
)
REGRESSION = several(
    BASELINE,
    click.option(
        "--each",
        is_flag=True,
        help="The same, and after each patch, to see which one changed what.",
    ),
    REPEAT,
    CONFIDENCE,
)
