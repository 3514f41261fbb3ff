from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.bench import log
from toolkit.bench.samples import Sample
from toolkit.core.errors import InfrastructureError

SHORT = Path(__file__).parents[2] / "data/bench/short.log"


def test_a_whole_log() -> None:
    parsed = log.parse(SHORT.read_text().splitlines())
    assert (parsed.clock, parsed.unit, parsed.done) == ("insn", 0.5, True)
    assert parsed.samples["vmm-mmio"] == [Sample(10, 24000, 4000)] * 3
    assert parsed.samples["iosignalfd-pio/any/1"][1] == Sample(10, 26000, 4000)
    assert parsed.skipped == {"hyperv-eventfd": "EOPNOTSUPP"}
    assert parsed.failed == {"socketpair-user": "EBADMSG"}


def test_a_log_that_ends_early_is_not_done() -> None:
    lines = SHORT.read_text().splitlines()
    assert not log.parse(lines[:-1]).done


@pytest.mark.parametrize(
    "line",
    [
        "sample vmm-pio 0 1 1",  # a division by zero later on
        "sample vmm-pio 1 -1 1",
        "sample vmm-pio 1 1",
        "sample vmm-pio 1 1 ٣",
        "sample vmm-pio 1 99999999999999999999 1",
        "sample ../etc 1 1 1",
        "clock insn 0",
        "clock insn nan",
        "clock furlongs 1",
        "[   12.3] BUG: something else on our stream",
    ],
)
def test_a_line_of_another_kind_is_refused_and_named(line: str) -> None:
    with pytest.raises(InfrastructureError, match="line 2 "):
        log.parse(["clock insn 0.5", line])


def test_what_a_guest_printed_is_shown_harmlessly() -> None:
    with pytest.raises(InfrastructureError) as caught:
        log.parse(["\x1b[2Jx"])
    assert "\x1b" not in caught.value.what


def test_a_guest_cannot_fill_the_memory() -> None:
    with pytest.raises(InfrastructureError, match="more than"):
        log.parse("done" for _ in range(log.MAX_LINES + 1))


words = st.sampled_from(
    ["clock", "insn", "ns", "sample", "skip", "fail", "done", "a/b", "1", "0", "-1", "\x00", "ü"]
)


@given(st.lists(st.lists(words, max_size=6).map(" ".join), max_size=20))
def test_any_lines_give_a_sound_log_or_an_error(lines: list[str]) -> None:
    try:
        parsed = log.parse(lines)
    except InfrastructureError:
        return
    assert all(sample.operations > 0 for samples in parsed.samples.values() for sample in samples)
    assert parsed.unit >= 0


@given(st.text())
def test_any_text_gives_a_log_or_an_error(text: str) -> None:
    try:
        log.parse(text.splitlines())
    except InfrastructureError:
        return
