from __future__ import annotations

import html.parser

from tests.a_matrix import hostile
from toolkit.report.matrix import page, view


class Reader(html.parser.HTMLParser):
    """Notes the tags and the links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_the_page_runs_nothing_that_strangers_wrote() -> None:
    text = page.render(view.of(hostile())).decode()
    assert "script" not in Reader(text).tags
    assert "\x1b" not in text
    assert "\u202e" not in text
