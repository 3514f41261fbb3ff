from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core import text
from toolkit.core.errors import UserError
from toolkit.core.text import lines_of, visible


def test_plain_text_stays() -> None:
    assert visible("plain é 日本") == "plain é 日本"


def test_what_is_not_seen_is_written_out() -> None:
    assert visible("a\x1b\x9b\u2028\u202e\ud800\U000e0001") == (
        "a\\x1b\\x9b\\u2028\\u202e\\ud800\\U000e0001"
    )


def test_kept_characters_stay() -> None:
    assert visible("a\n\tb\r", keep="\n\t") == "a\n\tb\\x0d"


@given(st.text(st.characters(categories=["Cc", "Cs", "Cf", "Cn", "Lu"])))
def test_any_text_becomes_harmless_once(text: str) -> None:
    shown = visible(text)
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in shown)
    assert visible(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("0", 0),
        ("500M", 500 << 20),
        ("1.5g", 3 << 29),
        ("20GiB", 20 << 30),
        ("7", 7),
        ("3 kB", 3072),
    ],
)
def test_sizes_are_read(words: str, number: int) -> None:
    assert text.parse_size(words) == number


@pytest.mark.parametrize("words", ["", "lots", "-1", "1e9", "nan", "5X", "1.G", "9" * 400])
def test_what_is_no_size_is_refused(words: str) -> None:
    with pytest.raises(UserError, match="is no size"):
        text.parse_size(words)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (1536, "2 KiB"),
        (5 << 20, "5 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_sizes_are_written(number: int, words: str) -> None:
    assert text.size(number) == words


@given(st.text())
def test_printable_is_one_harmless_line(words: str) -> None:
    line = text.printable(words)
    assert line.splitlines() in ([], [line])
    assert line.isprintable() or not line.isascii()


@pytest.mark.parametrize(
    ("words", "seconds"), [("90s", 90), ("1.5h", 5400), ("30D", 2592000), ("2 w", 1209600)]
)
def test_time_spans_are_read(words: str, seconds: float) -> None:
    assert text.parse_age(words) == seconds


@pytest.mark.parametrize("words", ["", "30", "d", "-1d", "1y", "nan d", "9" * 400 + "d"])
def test_what_is_no_time_span_is_refused(words: str) -> None:
    with pytest.raises(UserError, match="is no time span"):
        text.parse_age(words)


@given(st.text(alphabet="ab\n\r\u2028\x0c\U0001f600"))
def test_only_a_newline_ends_a_line(content: str) -> None:
    assert list(lines_of(content)) == list(io.StringIO(content, newline="\n"))


@pytest.mark.parametrize(
    ("number", "patches", "cases"),
    [(0, "0 patches", "0 cases"), (1, "1 patch", "1 case"), (12, "12 patches", "12 cases")],
)
def test_one_of_something_is_no_plural(number: int, patches: str, cases: str) -> None:
    assert text.counted(number, "patch", "patches") == patches
    assert text.counted(number, "case") == cases
