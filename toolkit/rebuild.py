"""Tells what of a build folder an edit reaches: the whole kernel, or its modules alone.

kbuild keeps beside each object what it was made from (``.NAME.cmd``, scripts/basic/fixdep.c), and
beside each module of which objects it consists (``.mod``). Where nothing but modules reads what has
changed, make can be asked for those alone (Documentation/kbuild, "single targets"), and neither
walks through the rest of the tree nor looks at vmlinux.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from toolkit.cache import Cache
from toolkit.journal import Journal

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


def only_modules(output: Path, config: str, changed: dict[str, bool]) -> bool:
    """Return whether of a finished build no more than modules depends on what has changed.

    ``config`` is the configuration's text. A file that came or went may change which of two a
    name means, so it counts as reaching everything.
    """
    built = {path: edited for path, edited in changed.items() if not _ASIDE.fullmatch(path)}
    if len(built) > _MOST or not _ENTANGLED.isdisjoint(config.splitlines()):
        return False
    if not all(edited and _KNOWN.fullmatch(path) for path, edited in built.items()):
        return False
    names = modules(output)
    return bool(names) and not any(_reading(output, built, _parts(output, names)))


def _parts(output: Path, names: Collection[str]) -> set[str]:
    """Return all that modules are made of, by path."""
    found = set()
    for name in names:
        stem = name.removesuffix(".ko")
        found |= {name, f"{stem}.o", f"{stem}.mod", f"{stem}.mod.o"}
        # KVM's are called arch/x86/kvm/../../../virt/kvm/eventfd.o.
        objects = (output / f"{stem}.mod").read_text().split()
        found |= {os.path.normpath(each) for each in objects}
    return found


def _reading(output: Path, paths: Collection[str], parts: Collection[str]) -> Iterator[str]:
    """Yield what was made from one of ``paths`` and is no part of a module."""
    if not paths:
        return
    names = {Path(path).name.encode() for path in paths}
    word = re.compile(rb"[^\s\\()]*(?:%s)(?=[\s\\()]|$)" % b"|".join(map(re.escape, names)))
    wanted = tuple(f"/{path}" for path in paths)
    for folder, _, files in os.walk(output):
        for name in files:
            if not (name.startswith(".") and name.endswith(".cmd")):
                continue
            made = os.path.relpath(f"{folder}/{name[1:-4]}", output)
            if made in parts:
                continue
            text = Path(folder, name).read_bytes()
            if any(each in text for each in names) and any(
                f"/{os.path.normpath(os.fsdecode(found))}".endswith(wanted)
                for found in word.findall(text)
            ):
                yield made
