"""Files and lines for the stack traces of a kernel, by its own scripts/decode_stacktrace.sh.

The script is bash and awk, written for trusted text: it would run a function that is called
``x"&&system("id")&&"``. So it never gets a line of a console, only words of the form
``name+0x1/0x2 [module]``, and its answers are put into the report here.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import KernelBase, KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.observer import Observer
from toolkit.host import process, sandbox

SCRIPT = "scripts/decode_stacktrace.sh"
MAX_FRAMES = 200
SECONDS = 60.0  # for all reports of a run
_FRAME = re.compile(
    r"(?<![\w.])(?P<name>[A-Za-z_][A-Za-z0-9_.]{0,127}\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})"
    r"(?: \[(?P<module>[A-Za-z0-9_]{1,64})(?: [0-9a-f]{40})?\])?(?![\w.])"
)


def decode(
    splats: Sequence[Splat],
    kernel: KernelBuild,
    base: KernelBase,
    observer: Observer,
    triplet: str = "",
) -> tuple[Splat, ...]:
    """Return the splats with :attr:`Splat.decoded` set, where the kernel has debug information.

    ``triplet`` is before the names of the binutils for another architecture than the host's.
    Without it, or without the kernel's source, they are returned as they are, and also when the
    script fails, which is a notice.
    """
    script = base.path / SCRIPT
    frames = list(dict.fromkeys(m[0] for splat in splats for m in _FRAME.finditer(splat.text)))
    if not frames or not script.is_file() or not _has_lines(kernel):
        return tuple(splats)
    try:
        places = _places(frames[:MAX_FRAMES], kernel, script, triplet)
    except (InfrastructureError, OSError) as error:
        observer.notice(f"stack traces were not decoded: {error}")
        return tuple(splats)
    return tuple(replace(splat, decoded=_rewritten(splat.text, places)) for splat in splats)


def _has_lines(kernel: KernelBuild) -> bool:
    with contextlib.suppress(OSError):
        return "CONFIG_DEBUG_INFO=y" in kernel.config.read_text().splitlines()
    return False


def _places(
    frames: Sequence[str], kernel: KernelBuild, script: Path, triplet: str
) -> dict[str, str]:
    """Return the script's answer for each frame that it could decode."""
    with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
        modules = Path(scratch)
        if kernel.modules:
            _unpack_modules(kernel.modules, modules)
        argv = [process.find("bash"), str(script), str(kernel.symbols), "auto", str(modules)]
        done = process.run(
            argv,
            deadline=Deadline.after(SECONDS),
            input="".join(f"{frame}\n" for frame in frames).encode(),
            env={"CROSS_COMPILE": f"{triplet}-"} if triplet else None,
            inherit=process.CLEAN,
            within=sandbox.confine(readonly=[script.parents[1], kernel.symbols, modules]),
        )
    answers = done.stdout.decode(errors="replace").splitlines()
    if len(answers) != len(frames):
        raise InfrastructureError(f"{SCRIPT} gave {len(answers)} lines for {len(frames)}")
    places = {}
    for frame, answer in zip(frames, answers, strict=True):
        if "(" in answer and "??" not in answer:
            places[frame] = answer[: answer.rindex(")") + 1].strip()
    return places


def _unpack_modules(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".ko") else None
            if content:
                (folder / Path(member.name).name).write_bytes(content.read())


def _rewritten(text: str, places: dict[str, str]) -> str:
    """Return a report with its frames replaced; "" if none could be decoded."""

    def place(match: re.Match[str]) -> str:
        decoded = places.get(match[0])
        if decoded is None:
            return match[0]
        return f"{decoded} [{match['module']}]" if match["module"] else decoded

    decoded = _FRAME.sub(place, text)
    return decoded if decoded != text else ""
