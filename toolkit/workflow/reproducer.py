"""A folder that repeats one test on any host with QEMU: no toolkit, no SSH, no network.

A run writes what it was made of into ``built.json``. A kernel, an initramfs and a script are made
of that. The initramfs is the image's own with a second archive behind it, as the kernel allows
(Documentation/driver-api/early-userspace/buffer-format.rst): the modules, the suite, and an init
that runs the test program and powers the machine off.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core import arch
from toolkit.core.errors import UserError
from toolkit.core.model.machine import Accelerator, GuestImage
from toolkit.core.model.result import RunResult
from toolkit.core.model.testing import BuiltSuite, Leaf, TestProgram
from toolkit.core.text import visible
from toolkit.formats import cpio
from toolkit.report import view, wording
from toolkit.testing import guest_program, leaf_ids
from toolkit.vm import initramfs
from toolkit.vm.qemu_argv import NETDEV
from toolkit.workflow import saved_build
from toolkit.workflow.saved_build import Bundle

if TYPE_CHECKING:
    from pydantic import TypeAdapter

BUILT = "built.json"
SUITES = "/kselftest"  # where suites lie in the guest, as during the run
SCRIPT = "reproduce.sh"
MARK = "reproduce:"
_UNLIMITED = 3600  # seconds for a program without a limit of its own
BOOT_SECONDS = 120  # the script's limit for a machine, beyond the program's own time
# What a kernel says when it is not well, as the shell looks for it; formats.kernel_log knows more.
_COMPLAINTS = (
    r"\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? (Kernel panic|BUG: |WARNING: |Oops: |kernel BUG at"
    r"|general protection fault|Unable to handle kernel |Internal error: "
    r"|INFO: task .* blocked for|rcu: INFO: |watchdog: BUG: )"
)
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Kit:
    """What a run's machines were made of; paths are those of the host that it ran on."""

    bundle: Bundle
    accelerator: Accelerator
    binary: str  # QEMU's name
    append: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # of the test programs


@functools.cache
def _adapter() -> TypeAdapter[Kit]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow, and few commands need it

    return TypeAdapter(Kit)


def remember(kit: Kit, run_dir: Path) -> None:
    """Write ``built.json`` into a run folder, for :func:`make`."""
    series = kit.bundle.series
    light = replace(kit.bundle, series=series and saved_build.titles(series))
    data = _adapter().dump_json(replace(kit, bundle=light))
    (run_dir / BUILT).write_bytes(data + b"\n")


def recall(run_dir: Path) -> Kit:
    """Return what a run was made of.

    Raises :class:`UserError` when it did not come to its tests, or what it was made of is gone.
    """
    again = "run it again, and then reproduce that run"
    try:
        kit = _adapter().validate_json((run_dir / BUILT).read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"the run in {run_dir} did not come to its tests", hint="there is no machine to repeat"
        ) from None
    except ValueError as error:
        raise UserError(
            f"{run_dir / BUILT} is damaged, or another version of the toolkit wrote it", hint=again
        ) from error
    kernel, image = kit.bundle.kernel, kit.bundle.image
    needed = [kernel.image, kernel.modules, image.initrd, image.disk]
    for path in (*needed, *(suite.path for suite in kit.bundle.suites)):
        if path and not path.exists():
            raise UserError(f"{path} is gone from the cache", hint=again)
    return kit


def choose(result: RunResult, wanted: str) -> Leaf:
    """Return the leaf that ``wanted`` names: its id, a glob, or a part of it.

    Of several in one program it is the first bad one: the whole program runs anyway. Raises
    :class:`UserError` where none fits, or leaves of several programs do.
    """
    by_id = {leaf.id: leaf for leaf in result.leaves}
    if wanted in by_id:
        return by_id[wanted]
    matching = [leaf for leaf in result.leaves if fnmatch.fnmatchcase(leaf.id, wanted)]
    matching = matching or [leaf for leaf in result.leaves if wanted in leaf.id]
    programs = view.programs(matching)
    if len(programs) != 1:
        ids = [program.id for program in programs or view.of(result).failed_programs(10)]
        fault = "fits several programs" if programs else "is no test of this run"
        raise UserError(f"{wanted!r} {fault}", hint=f"there is: {', '.join(ids[:10]) or 'none'}")
    return min(programs[0].leaves, key=lambda leaf: not leaf.status.bad)


def make(result: RunResult, kit: Kit, leaf: Leaf, folder: Path) -> Path:
    """Fill ``folder``, which must be new or empty, and return the script in it.

    Raises :class:`UserError` for a leaf that belongs to no program of the run, and for an image
    that boots from a disk.
    """
    kernel, image = kit.bundle.kernel, kit.bundle.image
    suite, program = _program(kit.bundle, leaf)
    if image.initrd is None:
        raise UserError(
            f"the image {image.name} boots from a disk, and nothing can be put on top of it",
            hint="repeat the run with --image minimal, and reproduce that",
        )
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", hint="name a new folder with --output")
    names = _names(result, kit, leaf, program)
    files = guest_program.files(suite, program)
    init = _render("init.sh", names)
    entries = cpio.with_parents(_overlay(suite, files, kernel.modules, init))
    initrd = initramfs.followed_by(image.initrd.read_bytes(), entries)
    (folder / "initrd").write_bytes(initrd)
    shutil.copyfile(kernel.image, folder / "kernel")
    shutil.copyfile(kernel.config, folder / "kernel.config")
    if kernel.modules:
        shutil.copyfile(kernel.modules, folder / "modules.tar")
    (folder / "tests").mkdir()
    for path in files:
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, folder / "tests" / path.name)
    (folder / "README").write_text(_render("readme", names))
    script = folder / SCRIPT
    script.write_text(_render(".sh", names))
    script.chmod(0o755)
    return script


def _program(bundle: Bundle, leaf: Leaf) -> tuple[BuiltSuite, TestProgram]:
    suite_name, name, _ = leaf_ids.split(leaf.id)
    for suite in bundle.suites:
        for program in suite.programs:
            if (suite.name, program.name) == (suite_name, name):
                if program.unbuilt:
                    raise UserError(f"{leaf.id} does not build", hint="there is nothing to run")
                return suite, program
    raise UserError(
        f"{leaf.id} belongs to no test program",
        hint="qemu.sh in the run folder boots its machine by hand",
    )


def _overlay(
    suite: BuiltSuite, files: Sequence[Path], modules: Path | None, init: str
) -> Iterator[cpio.Entry]:
    yield cpio.file("reproduce/init", init.encode(), 0o755)
    yield cpio.folder("reproduce/modules")
    if modules:
        with tarfile.open(modules) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content:
                    name = member.name.removeprefix("lib/modules/")
                    yield cpio.file(f"reproduce/modules/{name}", content.read())
    for path in sorted(each for top in files for each in (top, *top.rglob("*"))):
        name = f"{SUITES}/{suite.name}/{path.relative_to(suite.path)}"
        if path.is_symlink():
            yield cpio.link(name, str(path.readlink()))
        elif path.is_file():
            yield cpio.file(name, path.read_bytes(), path.stat().st_mode & 0o777)


# --- the texts -----------------------------------------------------------------------------


def _names(result: RunResult, kit: Kit, leaf: Leaf, program: TestProgram) -> dict[str, Any]:
    image, seconds = kit.bundle.image, round(program.timeout) or _UNLIMITED
    target, chosen = arch.parse(kit.bundle.arch), kit.accelerator
    kvm_board = chosen.board if chosen.name == "kvm" else target.kvm_board_unnested
    cmdline = (*image.cmdline, *target.early, *kit.append, "rdinit=/reproduce/init")
    return {
        "leaf": visible(leaf.id),
        "status": leaf.status.value,
        "message": visible(leaf.message, keep="\n\t"),
        "case": visible(leaf_ids.case_name(leaf.id)),
        "suite": program.suite,
        "folder": shlex.quote(guest_program.folder(program)),
        "program": shlex.quote(program.name),
        "seconds": seconds,
        "limit": seconds + BOOT_SECONDS,
        "environment": [(name, shlex.quote(value)) for name, value in kit.environment.items()],
        "mark": MARK,
        "complaints": _COMPLAINTS,
        "binary": shlex.quote(kit.binary),
        "accelerator": chosen.name,
        "tcg": (target.tcg_cpu, _machine(image, target.tcg_board)),
        "threads": "single" if chosen.in_turns else "multi",
        "kvm": (target.kvm_cpu, _machine(image, kvm_board)),
        "options": _wrapped(shlex.join(_options(image))),
        "cmdline": shlex.quote(" ".join(cmdline)),
        "image": image.name,
        "subject": visible(wording.subject(result)),
        "started": result.started,
        "command": wording.command(result),
        "compiler": visible(result.environment.compiler),
    }


def _machine(image: GuestImage, board: str) -> str:
    return ",".join(filter(None, [image.machine_type, board]))


def _options(image: GuestImage) -> list[str]:
    """Return QEMU's options that do not depend on the host: the machine as it was in the run."""
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-smp", str(image.cpus), "-m", f"{image.memory_mib}M"),
        *("-netdev", f"user,id={NETDEV},restrict=on"),
        *image.devices,
    ]


def _wrapped(line: str) -> str:
    return re.sub(r" (?=-(smp|netdev|device) )", " \\\n    ", line)


def _render(name: str, names: Mapping[str, Any]) -> str:
    import jinja2  # noqa: PLC0415 - slow, and few commands need it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - shell scripts; every value is quoted for the shell
    )
    joint = "" if name.startswith(".") else "-"
    return environment.get_template(f"reproduce{joint}{name}.j2").render(names)
