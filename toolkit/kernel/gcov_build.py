"""Which objects of a kernel count the lines that they execute, and where the counts lie.

A kernel with CONFIG_GCOV_KERNEL (Documentation/dev-tools/gcov.rst) profiles the objects that its
Makefiles say. Here these are the ones that a series touches, and no file is edited: kbuild
asks CONFIG_GCOV_PROFILE_ALL for each object (scripts/Makefile.lib), and on make's command line that
may be an expression. So what the tree itself excludes from profiling stays excluded. The same goes
for CFLAGS_KERNEL and CFLAGS_MODULE (Documentation/kbuild/kbuild.rst), which the tree leaves empty.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import UserError
from toolkit.core.model.series import PatchedTree

FOLDER = "coverage"  # in a build's entry
_RECORD = "objects.json"
_ON = "CONFIG_GCOV_KERNEL=y"
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+\.c")  # kbuild makes an object of no other
_INCLUDED = re.compile(rb'^#[ \t]*include "([^"/]+\.c)"', re.MULTILINE)
_COUNTS = "$(TOOLKIT_COUNTS)"  # whether the object that make is about is to count
# gcc places its counters after it has inlined small functions, whose own then stay at 0
# (pass_early_inline and pass_ipa_tree_profile in gcc's passes.def).
_INLINE_LATER = "-fno-early-inlining"
_MAX_WORDS = 100_000  # characters: Linux takes 128 KiB in one argument (MAX_ARG_STRLEN)
_THIN = re.compile(rb"!<thin>\n//\s+(\d+)\s+`\n")  # an archive of names, with all names first


@dataclass(frozen=True, slots=True)
class Profiled:
    """The objects of a build that count, by path without suffix: ``virt/kvm/eventfd``.

    ``folder`` has their .gcno files, and ``source`` and ``output`` are what the compiler called
    the tree and the build folder; the guest's counters lie below the latter.
    """

    folder: Path
    source: str
    output: str
    objects: tuple[str, ...]
    gcov: str = "gcov"  # the program that goes with the compiler


def wanted(tree: PatchedTree, config: str) -> tuple[str, ...]:
    """Return the objects that are to count: those whose C file the series touches.

    With them go objects made of several C files, such as the scheduler's
    (kernel/sched/build_policy.c). None where the configuration's text has no CONFIG_GCOV_KERNEL.
    """
    if not is_on(config):
        return ()
    touched = {
        name
        for name, file in tree.files.items()
        if file.content is not None and _PLAIN.fullmatch(name)
    }
    return tuple(sorted(name.removesuffix(".c") for name in touched | _around(tree, touched)))


def _around(tree: PatchedTree, touched: set[str]) -> set[str]:
    """Return the C files that include one of ``touched``, which lies in the same folder."""
    including = set()
    for folder in {os.path.dirname(name) for name in touched}:  # noqa: PTH120 - no path of ours
        names = {Path(name).name.encode() for name in touched}
        for path in (tree.base.path / folder).glob("*.c"):
            if names & set(_INCLUDED.findall(path.read_bytes())):
                including.add(f"{folder}/{path.name}")
    return {name for name in including if _PLAIN.fullmatch(name)}


def is_on(config: str) -> bool:
    """Return whether a kernel with this configuration can count lines."""
    return _ON in config.splitlines()


def words(objects: Sequence[str]) -> list[str]:
    """Return the words for make's command line that make these objects count.

    Raises :class:`UserError` when they are too many for a command line.
    """
    if not objects:
        return []
    names = " ".join(f"{name}.o" for name in objects)
    if len(names) > _MAX_WORDS:
        raise UserError(
            f"the series touches {len(objects)} C files, too many to count the lines of",
            hint="test it without --coverage, or in parts",
        )
    # KVM's objects are called arch/x86/kvm/../../../virt/kvm/eventfd.o, relative to the folder
    # that make works in.
    here = "$(patsubst $(CURDIR)/%,%,$(abspath $@))"
    later = f"$(if {_COUNTS},{_INLINE_LATER})"
    return [
        f"TOOLKIT_COUNTS=$(if $(filter {names},{here}),y)",
        f"CONFIG_GCOV_PROFILE_ALL={_COUNTS}",
        f"CFLAGS_KERNEL={later}",
        f"CFLAGS_MODULE={later}",
    ]


def keep(objects: Sequence[str], source: Path, output: Path, entry: Path, gcov: str) -> None:
    """Copy into a build's entry what it takes to read the counts of these objects.

    ``gcov`` is the program that goes with the compiler. An object that the configuration left
    out, or that the tree does not let count, is left out.
    """
    folder = entry / FOLDER
    folder.mkdir()
    linked = _linked(output)
    counting = [name for name in objects if name in linked and _counts(output / name)]
    for name in counting:
        copy = folder / f"{name}.gcno"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(output / f"{name}.gcno", copy)
    # The kernel's build resolves links in both names (abs_srctree, abs_objtree).
    facts = {
        "source": str(source.resolve()),
        "output": str(output.resolve()),
        "objects": counting,
        "gcov": gcov,
    }
    (folder / _RECORD).write_text(json.dumps(facts, indent=1))


def load(entry: Path) -> Profiled | None:
    """Return what counts in the kernel of a build's entry; None in one without counters."""
    folder = entry / FOLDER
    try:
        facts = json.loads((folder / _RECORD).read_bytes())
    except FileNotFoundError:
        return None
    gcov = facts.get("gcov", "gcov")  # an entry of an earlier version does not say
    return Profiled(folder, facts["source"], facts["output"], tuple(facts["objects"]), gcov)


def _linked(output: Path) -> set[str]:
    """Return the objects that are in the kernel or in one of its modules.

    A build folder also has objects of configurations that it was used for before.
    """
    names: list[str] = []
    with (output / "vmlinux.a").open("rb") as file:
        head = file.read(80)
        if match := _THIN.match(head):
            file.seek(match.end())
            names += file.read(int(match[1])).decode(errors="replace").split("/\n")
    order = output / "modules.order"
    for module in order.read_text().split() if order.exists() else ():
        parts = (output / module).with_suffix(".mod")  # one object on each line
        names += parts.read_text().split("\n") if parts.exists() else ()
    return {os.path.normpath(name).removesuffix(".o") for name in names}


def _counts(stem: Path) -> bool:
    """Return whether an object was compiled to count: its .gcno may be older than it is."""
    command = stem.with_name(f".{stem.name}.o.cmd")
    return (
        stem.with_name(f"{stem.name}.gcno").exists()
        and command.exists()
        and "-ftest-coverage" in command.read_text(errors="replace").split("\n", 1)[0]
    )
