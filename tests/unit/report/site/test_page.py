from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import a_history
from toolkit.core.deadline import Deadline
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Status
from toolkit.report.site import archive, page
from toolkit.report.site.archive import Archive, Outcome, Run

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
HOSTILE = [
    "</script><script>stolen = 1</script>",
    "<!--<script>",
    "]]>&lt;\"'`",
    "\u2028\u2029\u0085",
    "\u202egnp.exe\u2066\u200b",
    "\udcff\x00\x1b[2J",
    "a" * 10_000,
    "__proto__",
]


def a_run(**more: Any) -> Run:
    values: dict[str, Any] = {
        "folder": Path("/runs/one"),
        "started": 1_790_000_000,
        "seconds": 12.3456,
        "verdict": Verdict.PASS,
        "exit_code": 0,
        "series": "v4",
        "kernel": "debian:6.12",
        "release": "6.12.117",
        "accelerator": "kvm",
        "build": "abc",
        "command": "toolkit build-and-test",
        "bad": 0,
        "leaves": 1,
        "stages": (("build", 2.5, True),),
    }
    return Run(**{**values, **more})


def rendered(kept: Archive, title: str = "Tests", **reports: dict[int, str]) -> str:
    return page.render(kept, title=title, now=NOW, **reports).decode()


class Page(HTMLParser):
    """The tags of a page, and what stands in its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def taken_apart(data: Any) -> dict[str, list[tuple[int, str, int]]]:
    """Return what the data say of each case, by a reading of the format that is not the page's."""
    cases = {}
    for suite, program, steps, members in data["programs"]:
        runs = [sum(steps[: place + 1]) for place in range(len(steps))]
        for name, record, *times in members:
            letters = "".join(
                letter * int(count or 1) for letter, count in re.findall(r"([A-Z-])(\d*)", record)
            )
            places = [(runs[place], each) for place, each in enumerate(letters) if each != "-"]
            seconds = times[0] if times else [-1] * len(places)
            key = "/".join(filter(None, (suite, program, name)))
            cases[key] = [(*place, ms) for place, ms in zip(places, seconds, strict=True)]
    return cases


def test_the_data_are_what_the_history_holds(tmp_path: Path) -> None:
    path = a_history.write(tmp_path / "h.sqlite", a_history.runs(20, 60))
    kept = archive.read([path], Deadline.after(60))
    found = taken_apart(Page(rendered(kept)).data)
    assert set(found) == set(kept.leaves)
    for name, outcomes in kept.leaves.items():
        assert found[name] == [
            (each.run, page.LETTERS[each.status], round((each.seconds or 0) * 1000))
            for each in outcomes
        ]


statuses = st.lists(st.sampled_from([None, *Status]), min_size=1, max_size=40).filter(any)


@given(st.lists(statuses, min_size=1, max_size=5))
def test_any_record_comes_back(records: list[list[Status | None]]) -> None:
    leaves = {
        f"s/p/{case}": [
            Outcome(run, status, None if run % 3 else run / 7)
            for run, status in enumerate(record)
            if status
        ]
        for case, record in enumerate(records)
    }
    kept = Archive((a_run(),) * 40, leaves)
    assert taken_apart(page.data(kept, {})) == {
        name: [
            (
                each.run,
                page.LETTERS[each.status],
                -1 if each.run % 3 else round(each.run / 7 * 1000),
            )
            if any(outcome.seconds is not None for outcome in outcomes)
            else (each.run, page.LETTERS[each.status], -1)
            for each in outcomes
        ]
        for name, outcomes in leaves.items()
    }


def test_every_status_has_a_letter_that_the_script_knows() -> None:
    script = (Path(page.__file__).parent / "data.js").read_text()
    listed = dict(re.findall(r"([A-Z]): '(\w+)'", script))
    assert listed == {letter: status.value for status, letter in page.LETTERS.items()}
    bad = re.search(r"BAD = new Set\(\[(.*?)\]", script)
    assert bad
    assert set(re.findall(r"[A-Z]", bad[1])) == {page.LETTERS[each] for each in Status if each.bad}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_stay_words(text: str) -> None:
    check_harmless(text)


@given(st.text(st.characters(), max_size=300) | st.sampled_from(HOSTILE))
def test_any_words_stay_words(text: str) -> None:
    check_harmless(text)


def check_harmless(text: str) -> None:
    run = a_run(series=text, kernel=text, release=text, command=text, stages=((text, 1.0, False),))
    kept = Archive((run,), {f"{text}/{text}/{text}": [Outcome(0, Status.PASS, 1.0)]})
    html, plain = rendered(kept, text), rendered(Archive((a_run(),), {"a/b/c": []}))
    assert [tag for tag, _ in Page(html).tags] == [tag for tag, _ in Page(plain).tags]
    assert Page(html).scripts[1] == Page(plain).scripts[1]
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", html) == []
    # JSON of ASCII alone, in which no parser of HTML finds anything
    assert re.search(r"[^ -~]|[<>&]", Page(html).scripts[0]) is None
    assert len(html) < len(plain) + 60_000


def test_long_names_stay_apart_and_short() -> None:
    names = [page.clipped("x" * 10_000 + end) for end in "ab"]
    assert len(set(names)) == 2
    assert {len(name) for name in names} == {200}


def test_the_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    html = rendered(Archive((a_run(),), {"a/b/c": [Outcome(0, Status.PASS, None)]}))
    for _, attributes in Page(html).tags:
        assert "src" not in attributes
        assert not (attributes.get("href") or "").startswith(("http", "//"))
        assert not {"style"} & set(attributes)
    assert "url(" not in html
    (policy,) = [a["content"] for t, a in Page(html).tags if a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_what_was_left_out_and_the_reports_are_in_the_data() -> None:
    kept = Archive((a_run(), a_run(started=1)), {}, left_out_runs=3, left_out_results=4)
    data = Page(rendered(kept, reports={1: "reports/1-x.html"})).data
    assert data["leftOut"] == [3, 4]
    assert [run[-1] for run in data["runs"]] == ["", "reports/1-x.html"]


def test_without_scripts_there_are_the_last_runs() -> None:
    kept = Archive((a_run(series="v3"), a_run(verdict=Verdict.FAIL, bad=7, leaves=9)), {})
    _, _, rest = rendered(kept).partition("<noscript>")
    fallback = rest.partition("</noscript>")[0]
    assert fallback.count("<tr>") == 3
    assert '<td>fail</td><td class="num">7</td><td class="num">9</td>' in fallback


def test_texts_that_runs_share_stand_in_the_page_once() -> None:
    html = rendered(Archive(tuple(a_run(command="a long command") for _ in range(50)), {}))
    assert html.count("a long command") == 1


@pytest.mark.parametrize("name", ["<" * 150, "\U000e0001" * 150, "\\" * 190])
def test_it_stays_below_its_size_whatever_the_names(name: str) -> None:
    """The bound that archive puts on what it reads holds for names that JSON makes long."""
    leaves = {f"s/p/{number}{name}": [Outcome(0, Status.PASS, 0.1)] for number in range(500)}
    cost = archive.cost([(leaf, Status.PASS, 0.1) for leaf in leaves], set())
    written = len(rendered(Archive((a_run(),), leaves))) - len(rendered(Archive((a_run(),), {})))
    assert written <= cost
