from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import testbed
from toolkit.testbed import Testbed


def a_testbed(config: Path, *, accelerator: str, cpus: int = 2, memory: int = 512) -> Testbed:
    parts: dict[str, Any] = dict.fromkeys(
        ("arch", "cache", "qemu_version", "folder", "observer", "deadline", "stages")
    )
    return Testbed(
        **parts,
        kernel=SimpleNamespace(config=config),  # type: ignore[arg-type]
        image=SimpleNamespace(memory_mib=memory, cpus=cpus),  # type: ignore[arg-type]
        accelerator=SimpleNamespace(name=accelerator),  # type: ignore[arg-type]
        on_boot_splats=lambda *_: None,
    )


@pytest.mark.parametrize(
    ("accelerator", "lockdep", "memory", "room"),
    [
        ("tcg", False, 512, 4),
        ("tcg", False, 1800, 1),
        ("tcg", False, 9000, 1),
        ("tcg", True, 512, 2),
        ("kvm", True, 512, 4),
    ],
)
def test_room_for_machines(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    memory: int,
    room: int,
    *,
    lockdep: bool,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(testbed, "available_mib", lambda: 4000)
    config = tmp_path / "config"
    word = "CONFIG_PROVE_LOCKING=y" if lockdep else "# CONFIG_PROVE_LOCKING is not set"
    config.write_text(f"CONFIG_SMP=y\n{word}\nCONFIG_KVM=m\n")
    assert a_testbed(config, accelerator=accelerator, memory=memory).room() == room


def test_there_is_always_room_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    config = tmp_path / "config"
    config.write_text("# made\nCONFIG_PROVE_LOCKING=y\n")
    assert a_testbed(config, accelerator="tcg", cpus=4).room() == 1
