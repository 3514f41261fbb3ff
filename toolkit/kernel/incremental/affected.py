"""Tells what of a build folder an edit reaches: the whole kernel, or its modules alone.

kbuild keeps beside each object what it was made from (``.NAME.cmd``, scripts/basic/fixdep.c), and
beside each module of which objects it consists (``.mod``). Where nothing but modules reads what has
changed, these can be made alone (:mod:`.replay`), and vmlinux is what it was.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.host import process
from toolkit.host.cache import Cache
from toolkit.kernel.incremental.change_log import Journal

_RECORD = ".toolkit-built"  # in a build folder that make has finished: with what, and at which mark
_OWNER = ".toolkit-tree"  # the tree that a build folder is for
_MOST = 50  # files; a larger change is another series rather than an edit
# No build reads these.
_ASIDE = re.compile(r"MAINTAINERS|Documentation/.*\.(rst|txt)|tools/testing/.*")
# What kbuild knows the readers of. Headers for user space are installed as well, scripts and tools
# take part in the build, and of any other file a Makefile may make anything.
_KNOWN = re.compile(r"(?!scripts/|tools/|(?:.*/)?uapi/).*\.[ch]")
# Options that make vmlinux depend on its modules' text, or on headers that nothing includes.
_ENTANGLED = frozenset({"CONFIG_TRIM_UNUSED_KSYMS=y", "CONFIG_IKHEADERS=y", "CONFIG_IKHEADERS=m"})


def claim(output: Path, journal: Journal) -> None:
    """Keep the build folder ``output`` for the journal's tree, and empty it if it had another.

    The files of a new tree may be older than objects that were made of others in their place.
    """
    owner, name = output / _OWNER, journal.name()
    if not name or (owner.exists() and owner.read_text() == name):
        return
    if owner.exists():
        Cache.remove_tree(output)
        output.mkdir()
    owner.write_text(name)


def changes(output: Path, identity: str, journal: Journal) -> dict[str, bool] | None:
    """Return what has changed since make last finished in ``output``; None when not known.

    ``identity`` stands for all that a build depends on beside the source.
    """
    try:
        record = json.loads((output / _RECORD).read_text())
        return journal.since(record["mark"]) if record["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(output: Path) -> None:
    """Say that ``output`` is being worked in."""
    (output / _RECORD).unlink(missing_ok=True)


def remember(output: Path, identity: str, journal: Journal) -> None:
    """Say that ``output`` now has what is built from the journal's tree."""
    if mark := journal.mark():
        (output / _RECORD).write_text(json.dumps({"identity": identity, "mark": mark}))


def modules(output: Path) -> list[str]:
    """Return the modules of a finished build, as make calls them: ``arch/x86/kvm/kvm.ko``."""
    try:
        names = (output / "modules.order").read_text().split()
    except FileNotFoundError:
        return []
    return [str(Path(name).with_suffix(".ko")) for name in names]  # .o from Linux 6.3 on


def in_modules(
    output: Path, config: str, changed: dict[str, bool], deadline: Deadline
) -> list[Path] | None:
    """Return the .cmd files of the objects that have to be made again; None: maybe not modules'.

    They are relative to ``output``, which has a finished build; ``config`` is the configuration's
    text. A file that came or went may change which of two a name means, so it counts as reaching
    everything.
    """
    built = {path: edited for path, edited in changed.items() if not _ASIDE.fullmatch(path)}
    if len(built) > _MOST or not _ENTANGLED.isdisjoint(config.splitlines()):
        return None
    if not all(edited and _KNOWN.fullmatch(path) for path, edited in built.items()):
        return None
    parts = _parts(output, modules(output))
    records = _mentioning(output, {Path(path).name for path in built}, deadline)
    if not parts or records is None:
        return None
    found = [record for record in records if _reads(output / record, built)]
    return found if all(_made(record) in parts for record in found) else None


def _parts(output: Path, names: Collection[str]) -> set[str]:
    """Return all that modules are made of, by path; nothing where that is not known."""
    found = set()
    for name in names:
        stem = name.removesuffix(".ko")
        found |= {name, f"{stem}.o", f"{stem}.mod", f"{stem}.mod.o"}
        try:
            found |= objects(output, stem)
        except FileNotFoundError:
            return set()
    return found


def objects(output: Path, stem: str) -> frozenset[str]:
    """Return the objects of one module, ``arch/x86/kvm/kvm``; raises as reading its file does."""
    listed = (output / f"{stem}.mod").read_text().split()
    # KVM's are called arch/x86/kvm/../../../virt/kvm/eventfd.o.
    return frozenset(os.path.normpath(each) for each in listed)


def _mentioning(output: Path, names: Collection[str], deadline: Deadline) -> list[Path] | None:
    """Return the .cmd files, relative to ``output``, that mention one of ``names``.

    There are thousands of them, with 100 MB in all. None where not each could be read.
    """
    if not names:
        return []
    words = [word for name in sorted(names) for word in ("-e", name)]
    argv = ["grep", "-rlFZ", "--include=.*.cmd", *words, "."]
    done = process.run(argv, cwd=output, deadline=deadline, check=False)
    if done.status > 1:
        return None
    return [Path(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name]


def _made(record: Path) -> str:
    """Return what a .cmd file says of how it was made."""
    return os.path.normpath(record.with_name(record.name[1:].removesuffix(".cmd")))


def _reads(record: Path, paths: Collection[str]) -> bool:
    """Return whether one of ``paths`` stands in a .cmd file, in whatever way it is written."""
    names = "|".join(re.escape(Path(path).name) for path in paths)
    words = re.findall(rf"[^\s\\()]*(?:{names})(?=[\s\\()]|$)", record.read_text(errors="replace"))
    wanted = tuple(f"/{path}" for path in paths)
    return any(f"/{os.path.normpath(word)}".endswith(wanted) for word in words)
