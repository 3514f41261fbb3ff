from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bench_samples import benchmark
from toolkit.bench import figure
from toolkit.core.errors import InfrastructureError

BENCH = benchmark(
    {
        "vmm-mmio": [[5000]],
        "iosignalfd-pio/any/1": [[1000]],
        "ioeventfd-pio/any/1": [[1100]],
        "null-pio": [[900]],
        "syscall": [[200]],
    }
)


def test_the_same_figures_give_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        files = figure.draw(BENCH, folder)
        assert [path.name for path in files] == ["doorbell.svg", "doorbell.png"]
    for name in figure.NAMES:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    text = (first / "doorbell.svg").read_text()
    assert "1,100" in text
    assert "extrapolated" in text


def test_no_colour_is_used(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import image

    pixels = image.imread(str(figure.draw(BENCH, tmp_path)[1]))
    assert abs(pixels[:, :, 0] - pixels[:, :, 1]).max() == 0
    assert abs(pixels[:, :, 0] - pixels[:, :, 2]).max() == 0


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InfrastructureError, match="matplotlib") as caught:
        figure.draw(BENCH, tmp_path)
    assert "pip install" in caught.value.hint
