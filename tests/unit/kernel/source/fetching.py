"""What the tests of all kernel sources do."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

from tests.unit.fake_tree import soon
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Silent
from toolkit.host.cache import Cache
from toolkit.kernel import source


def fetch(spec: str, cache: Cache) -> tuple[KernelBase, bool]:
    return source.parse(spec).fetch(cache, Silent(), soon())


def same(one: Path, other: Path) -> bool:
    argv = ["diff", "-r", "--no-dereference", "--exclude=.git", str(one), str(other)]
    return subprocess.run(argv, check=False).returncode == 0


def pack(tree: Path) -> tuple[Path, str]:
    path = tree.with_suffix(".tar.xz")
    with tarfile.open(path, "w:xz") as tar:
        tar.add(tree, tree.name)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
