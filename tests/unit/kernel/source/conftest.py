from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree
from toolkit.host.cache import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "linux-6.12")
