from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.text import visible


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
