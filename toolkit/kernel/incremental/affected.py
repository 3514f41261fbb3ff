"""What an edit reaches in a build folder: the whole kernel, or its modules alone.

kbuild keeps beside each object what it was made from (``.NAME.cmd``, scripts/basic/fixdep.c), and
beside each module of which objects it consists (``.mod``). Where nothing but modules reads what has
changed, these can be made alone (:mod:`.replay`), and vmlinux stays as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache
from toolkit.kernel.incremental.change_log import ChangeLog

_RECORD = ".toolkit-built"  # in a finished build folder: what with, and the log's position then
_OWNER = ".toolkit-tree"  # the tree that a build folder is for
_MAX_FILES = 50  # a larger change is another series rather than an edit
# No build reads these.
_UNUSED = re.compile(r"MAINTAINERS|Documentation/.*\.(rst|txt)|tools/testing/.*")
# Of these kbuild records the readers. Headers for user space are installed as well, scripts and
# tools take part in the build, and of any other file a Makefile may make anything.
_TRACKED = re.compile(r"(?!scripts/|tools/|(?:.*/)?uapi/).*\.[ch]")
# Options that make vmlinux depend on its modules' text, or on headers that nothing includes.
_ENTANGLED = frozenset({"CONFIG_TRIM_UNUSED_KSYMS=y", "CONFIG_IKHEADERS=y", "CONFIG_IKHEADERS=m"})


def claim(output: Path, log: ChangeLog) -> None:
    """Keep the build folder ``output`` for the log's tree, and empty it if it had another."""
    owner, tree_id = output / _OWNER, log.tree_id()
    if not tree_id or (owner.exists() and owner.read_text() == tree_id):
        return
    if owner.exists():
        Cache.remove_tree(output)
        output.mkdir()
    owner.write_text(tree_id)


def changes(output: Path, identity: str, log: ChangeLog) -> dict[str, bool] | None:
    """Return what has changed since make last finished in ``output``; None when that is not known.

    ``identity`` stands for all that a build depends on beside the source. Where anything was killed
    that wrote there, such as make while it installed the modules, some of its files will go.
    """
    if sandbox.is_unfinished(output):
        return None
    try:
        record = json.loads((output / _RECORD).read_text())
        return log.since(record["position"]) if record["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(output: Path) -> None:
    """Note that ``output`` is being worked in."""
    (output / _RECORD).unlink(missing_ok=True)


def remember(output: Path, identity: str, log: ChangeLog) -> None:
    """Note that ``output`` now has what is built from the log's tree."""
    if position := log.position():
        (output / _RECORD).write_text(json.dumps({"identity": identity, "position": position}))


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
    """Return the .cmd files of the objects to make again; None if modules may not be all of it.

    They are relative to ``output``, which has a finished build; ``config`` is the configuration's
    text. A file that came or went may change which of two files an #include finds, so it counts as
    reaching everything.
    """
    built = {path: edited for path, edited in changed.items() if not _UNUSED.fullmatch(path)}
    if len(built) > _MAX_FILES or not _ENTANGLED.isdisjoint(config.splitlines()):
        return None
    if not all(edited and _TRACKED.fullmatch(path) for path, edited in built.items()):
        return None
    parts = _parts(output, modules(output))
    records = _mentioning(output, {Path(path).name for path in built}, deadline)
    if not parts or records is None:
        return None
    readers = [record for record in records if _reads(output / record, built)]
    return readers if all(target(record) in parts for record in readers) else None


def _parts(output: Path, names: Collection[str]) -> set[str]:
    """Return the path of everything that modules are made of; nothing if one is not known."""
    parts = set()
    for name in names:
        stem = name.removesuffix(".ko")
        parts |= {name, f"{stem}.o", f"{stem}.mod", f"{stem}.mod.o"}
        try:
            parts |= objects(output, stem)
        except FileNotFoundError:
            return set()
    return parts


def objects(output: Path, stem: str) -> frozenset[str]:
    """Return the objects of one module, ``arch/x86/kvm/kvm``; raises as reading its file does."""
    listed = (output / f"{stem}.mod").read_text().split()
    # KVM's are called arch/x86/kvm/../../../virt/kvm/eventfd.o.
    return frozenset(os.path.normpath(name) for name in listed)


def _mentioning(output: Path, names: Collection[str], deadline: Deadline) -> list[Path] | None:
    """Return the .cmd files, relative to ``output``, that mention one of ``names``.

    There are thousands, 100 MB in all. None if one could not be read.
    """
    if not names:
        return []
    words = [word for name in sorted(names) for word in ("-e", name)]
    argv = ["grep", "-rlFZ", "--include=.*.cmd", *words, "."]
    done = process.run(argv, cwd=output, deadline=deadline, check=False, inherit=process.CLEAN)
    if done.status > 1:
        return None
    return [Path(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name]


def target(record: Path) -> str:
    """Return the file whose command a .cmd file records."""
    return os.path.normpath(record.with_name(record.name[1:].removesuffix(".cmd")))


def _reads(record: Path, paths: Collection[str]) -> bool:
    """Return whether a .cmd file names one of ``paths``, however it is spelled."""
    names = "|".join(re.escape(Path(path).name) for path in paths)
    words = re.findall(rf"[^\s\\()]*(?:{names})(?=[\s\\()]|$)", record.read_text(errors="replace"))
    suffixes = tuple(f"/{path}" for path in paths)
    return any(f"/{os.path.normpath(word)}".endswith(suffixes) for word in words)
