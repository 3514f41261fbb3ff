from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bench_samples import DOORBELL, benchmark
from toolkit.bench import baseline_file, figure
from toolkit.bench.manifest import BenchManifest
from toolkit.core.errors import InfrastructureError

PROJECT = Path(__file__).parents[3]
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
        files = figure.draw(BENCH, DOORBELL, folder)
        assert [path.name for path in files] == ["doorbell.svg", "doorbell.png"]
    for name in ("doorbell.svg", "doorbell.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    text = (first / "doorbell.svg").read_text()
    assert "1,100" in text
    assert "extrapolated" in text


def texts(svg: Path) -> list[str]:
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())]


@pytest.mark.parametrize(
    ("baseline", "picture", "at_least"),
    [
        ("iosignalfd-v5", "doorbell", 60),
        ("mmio-socket-v1", "mmio-socket", 40),
        ("kvm-task-api-v1", "kvm-task-api", 20),
    ],
)
def test_the_documentation_has_the_picture_of_its_baseline(
    tmp_path: Path, baseline: str, picture: str, at_least: int
) -> None:
    pytest.importorskip("matplotlib")
    bench = baseline_file.read(PROJECT / f"benchmarks/{baseline}.json")
    svg = figure.draw(bench, DOORBELL, tmp_path)[0]
    assert len(texts(svg)) > at_least
    assert texts(svg) == texts(PROJECT / f"docs/{picture}.svg")


def test_references_of_which_no_row_was_measured_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    svg = figure.draw(benchmark({"vmm-mmio": [[5000]]}), DOORBELL, tmp_path)[0]
    assert "vmm-mmio" in texts(svg)
    assert not any("2009" in text for text in texts(svg))


def test_without_a_word_on_figures_every_row_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    svg = figure.draw(BENCH, BenchManifest(program="x", operation="call"), tmp_path)[0]
    assert {"vmm-mmio", "iosignalfd-pio/any/1", "instructions a call"} <= set(texts(svg))
    assert not any("2009" in text for text in texts(svg))


def test_no_colour_is_used(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import image

    pixels = image.imread(str(figure.draw(BENCH, DOORBELL, tmp_path)[1]))
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
        figure.draw(BENCH, DOORBELL, tmp_path)
    assert "pip install" in caught.value.hint
