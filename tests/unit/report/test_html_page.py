from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_result
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import RunResult
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import html_page, view

_VOID = {"meta", "link", "input", "br", "img", "rect"}


class Page(HTMLParser):
    """The tags of a page, in order, and whether they nest."""

    def __init__(self, result: RunResult) -> None:
        super().__init__()
        self.html = html_page.render(view.of(result)).decode()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.mark.parametrize("make", a_result.STATES.values(), ids=a_result.STATES)
def test_every_state_is_a_whole_page_that_loads_nothing(make: Callable[[], RunResult]) -> None:
    page = Page(make())
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert not (attributes.get("href") or "").startswith(("http", "//"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for tag, a in page.tags if tag == "a" and a["href"]]
    assert {link[1:] for link in links if link and link.startswith("#")} <= set(ids)
    assert "url(" not in page.html


def test_what_failed_comes_first_and_is_open() -> None:
    page = Page(a_result.failed())
    programs = [a for tag, a in page.tags if tag == "details" and a.get("class") == "program"]
    assert ["open" in each for each in programs] == [True] * 3 + [False] * 2
    text = "".join(page.text)
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    assert sections[:3] == ["evidence", "failures", "cases"]
    assert text.count("toolkit build-and-test --patch v4 --suite kvm --test") == 3
    assert "kvm_vm_release (virt/kvm/kvm_main.c:1350) [kvm]" in text


def test_traces_that_could_not_be_decoded_say_how_they_would_be() -> None:
    assert "--profile debug-info" in "".join(Page(a_result.panicked()).text)
    assert "--profile debug-info" not in "".join(Page(a_result.failed()).text)


def test_what_a_failed_program_wrote_is_linked() -> None:
    beside = (
        "result.json",
        "tests/kvm/iosignalfd_args_test.log",
        "tests/kvm/iosignalfd_match_test.log",  # it passed
    )
    html = html_page.render(view.of(a_result.failed()), beside).decode()
    assert '<a href="tests/kvm/iosignalfd_args_test.log">iosignalfd_args_test.log</a>' in html
    assert "iosignalfd_match_test.log" not in html
    assert 'Beside this file: <a href="result.json">result.json</a></p>' in html


def test_lines_that_nothing_ran_are_named_in_words() -> None:
    page = Page(a_result.covered())
    text = " ".join("".join(page.text).split())
    assert "Patch 2: KVM: add iosignalfd: 2 lines not run" in text
    assert "not run+ return -ENOMEM;" in text
    assert "explained: the caller has looked already" in text
    assert "the tests ran 90.4 % of the 21 lines that the series adds, and 95 % were" in text
    assert ("a", {"href": "#coverage"}) in page.tags
    assert text.index("patch 2, virt/kvm/iosignalfd.c") < text.index("2 lines not run")


def test_a_hostile_run_adds_no_element() -> None:
    page = Page(a_result.hostile())
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    for character in "\x1b\x00\x07\u202e\u2066\u2028":
        assert character not in page.html
    assert "{{ 7*7 }}" in "".join(page.text)


@given(st.text(), st.text(), st.sampled_from(Status))
def test_any_text_stays_text(name: str, message: str, status: Status) -> None:
    splat = Splat("bug", message, message, fatal=False, line=1, during=f"s/{name}")
    leaves = (
        Leaf(f"s/{name}/{name}", status, message, known=name),
        Leaf(f"s/{name}", status, message),
    )
    hostile = a_result.passed(leaves=leaves, splats=(splat,), series=name, message=message)
    plain = a_result.passed(leaves=leaves, splats=(splat,), series="x", message="x")
    assert Page(hostile).count("script") == Page(plain).count("script") == 1


def test_the_policy_names_the_script_that_is_there() -> None:
    html = html_page.render(view.of(a_result.passed())).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_ten_thousand_cases_stay_below_the_bound() -> None:
    assert len(html_page.render(view.of(a_result.huge()))) < 5_000_000


def test_the_longest_messages_stay_below_the_bound() -> None:
    leaves = tuple(
        Leaf(f"s/p{n // 50}/{'c' * 120}{n}", Status.FAIL, "x" * 4000) for n in range(10_000)
    )
    splats = tuple(
        Splat("bug", "t" * 1000, "x" * 250_000, False, 1, during=f"s/p{n}") for n in range(80)
    )
    assert len(html_page.render(view.of(a_result.passed(leaves=leaves, splats=splats)))) < 5_000_000
