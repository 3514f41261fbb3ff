"""The page of ``toolkit site`` in a real browser; see :mod:`tests.browser.chromium`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import a_history
from tests.browser import chromium
from tests.browser.chromium import THEMES, WIDTHS, until
from tests.unit.report.site.test_page import HOSTILE, a_run
from toolkit.core.deadline import Deadline
from toolkit.core.model.testing import Status
from toolkit.report.site import archive, page
from toolkit.report.site.archive import Archive, Outcome, Run

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = chromium.MARKS
CASE = f"#/case?id={a_history.FLAKY}"
VIEWS = {
    "overview": "",
    "cases": "#/cases",
    "case": CASE,
    "runs": "#/runs",
    "run": "#/run?at={at}&name={name}",
    "timings": "#/timings",
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Archive]:
    folder = tmp_path_factory.mktemp("site")
    path = a_history.write(folder / "h.sqlite", a_history.runs(60, 120))
    return _written(folder, archive.read([path], Deadline.after(60)))


def _written(folder: Path, kept: Archive) -> tuple[Path, Archive]:
    index = folder / "index.html"
    index.write_bytes(page.render(kept, title="Kernel tests", now=datetime.now(UTC)))
    return index, kept


@pytest.fixture
def show(driver: Any, usual: tuple[Path, Archive]) -> Callable[..., Any]:
    def load(at: str = "", width: str = "wide", theme: str = "light") -> Any:
        return chromium.show(driver, usual[0], width, theme, at)

    return load


def text(driver: Any, selector: str = "main") -> str:
    return str(driver.find_element(By.CSS_SELECTOR, selector).text)


def rows(driver: Any) -> list[str]:
    script = "return [...document.querySelectorAll('main tbody tr')].map(row => row.innerText)"
    return list(driver.execute_script(script))


def figures(driver: Any) -> list[str]:
    return [each.text for each in driver.find_elements(By.CSS_SELECTOR, ".figures b")]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_read(
    driver: Any, usual: tuple[Path, Archive], view: str, width: str, theme: str
) -> None:
    index, kept = usual
    last = kept.runs[-2]
    at = VIEWS[view].format(at=last.started, name=last.folder.name)
    chromium.show(driver, index, width, theme, at)
    assert "No such" not in text(driver)
    chromium.check_readable(driver, width)
    shifts = (
        "return new Promise(done => new PerformanceObserver((list, observer) => {"
        "observer.disconnect(); done(list.getEntries().reduce((sum, each) => sum + each.value, 0))"
        "}).observe({type: 'layout-shift', buffered: true}) ?? setTimeout(() => done(0), 200))"
    )
    assert driver.execute_script(shifts) < 0.01
    chromium.keep_picture(driver, width, f"site-{view}-{width}-{theme}")


def test_it_can_be_printed(show: Callable[..., Any]) -> None:
    driver = show(CASE)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not driver.find_element(By.ID, "scope").is_displayed()
        assert not driver.find_element(By.CSS_SELECTOR, "nav").is_displayed()
        assert driver.find_element(By.CSS_SELECTOR, "h1").is_displayed()
        chromium.keep_picture(driver, "wide", "site-print")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_wilsons_interval_is_the_published_one(show: Callable[..., Any]) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    driver = show()
    for seen, of, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = driver.execute_script("return wilson(arguments[0], arguments[1])", seen, of)
        assert [round(each, 4) for each in found] == [low, high]


def test_what_is_counted_is_what_the_history_holds(
    show: Callable[..., Any], usual: tuple[Path, Archive]
) -> None:
    _, kept = usual
    driver = show()
    last = {(run.series, run.kernel): run for run in kept.runs}
    good = sum(run.exit_code == 0 for run in last.values())
    failing = 0
    for outcomes in kept.leaves.values():
        lasts = {}
        for outcome in outcomes:
            run = kept.runs[outcome.run]
            if outcome.status is not Status.SKIP:
                lasts[run.series, run.kernel] = outcome.status.bad
        failing += any(lasts.values())
    assert failing > 0
    assert figures(driver) == [f"{good} of {len(last)}", str(failing), "1", "60 runs"]
    flaky = text(driver, "#flaky")
    outcomes = kept.leaves[a_history.FLAKY]
    builds: dict[str, list[bool]] = {}
    for outcome in outcomes:
        builds.setdefault(kept.runs[outcome.run].build, []).append(outcome.status.bad)
    passing = [bad for bads in builds.values() if not all(bads) for bad in bads]
    assert f"{sum(passing)} of {len(passing)}, 95 %" in flaky
    driver.get(driver.current_url.partition("#")[0] + CASE)
    bad = sum(outcome.status.bad for outcome in outcomes)
    assert f"{bad} of {len(outcomes)}, 95 %" in text(driver, "dl")
    assert len(driver.find_elements(By.CSS_SELECTOR, ".record a.bad")) == bad


def test_a_case_that_broke_is_no_flaky_one(show: Callable[..., Any]) -> None:
    driver = show(f"#/case?id={a_history.BROKEN}")
    assert "FLAKY" not in text(driver)
    assert "CRASH" in text(driver, "#last-change")
    assert "another build of the kernel" in text(driver, "#last-change")


def test_cases_are_filtered_and_the_address_says_how(show: Callable[..., Any]) -> None:
    driver = show("#/cases")
    query, shown = (driver.find_element(By.ID, name) for name in ("q", "shown"))
    assert shown.text == "120 cases"
    query.send_keys("RACE 001")
    until(driver, lambda: shown.text == "1 case of 120")
    assert [row.split()[0] for row in rows(driver)] == [a_history.FLAKY]
    assert driver.current_url.endswith("#/cases?q=RACE+001")
    driver.refresh()
    assert len(rows(driver)) == 1
    driver.find_element(By.ID, "q").send_keys(Keys.ESCAPE)
    until(driver, lambda: len(rows(driver)) == 100)
    driver.find_element(By.CSS_SELECTOR, "button.more").click()
    assert len(rows(driver)) == 120
    driver.find_element(By.CSS_SELECTOR, "input[value=skipped]").click()
    assert len(rows(driver)) == 6
    assert driver.current_url.endswith("#/cases?show=skipped")
    driver.find_element(By.ID, "q").send_keys("no such case")
    until(driver, lambda: "No case fits" in text(driver))


def test_the_scope_holds_for_every_view(
    show: Callable[..., Any], usual: tuple[Path, Archive]
) -> None:
    _, kept = usual
    wanted = [run for run in kept.runs if run.series == "io-bus-order/v1"]
    driver = show()
    choose = driver.find_element(By.CSS_SELECTOR, "select[name=series]")
    choose.send_keys("io-bus")
    until(driver, lambda: text(driver, "#chosen") == f"{len(wanted)} runs of 60")
    driver.find_element(By.LINK_TEXT, "Runs").click()
    assert len(rows(driver)) == len(wanted)
    assert {row.split()[3] for row in rows(driver)} == {"io-bus-order/v1"}
    driver.find_element(By.LINK_TEXT, "Cases").click()
    driver.find_element(By.ID, "q").send_keys(a_history.BROKEN)
    until(driver, lambda: len(rows(driver)) == 1)
    assert f"none of {len(wanted)}" in rows(driver)[0]
    driver.find_element(By.ID, "reset").click()
    until(driver, lambda: text(driver, "#chosen") == "")


def test_the_last_days_are_counted_from_the_newest_run(
    show: Callable[..., Any], usual: tuple[Path, Archive]
) -> None:
    _, kept = usual
    since = kept.runs[-1].started - 7 * 86400
    wanted = sum(run.started >= since for run in kept.runs)
    assert 0 < wanted < 60
    assert text(show("#/runs?days=7"), "#shown") == f"{wanted} runs"


def test_one_clicks_from_a_change_to_its_run_and_back(show: Callable[..., Any]) -> None:
    driver = show()
    driver.find_element(By.CSS_SELECTOR, "#changes a[href*='#/case']").click()
    heading = text(driver, "h1")
    assert heading.startswith("case_")
    assert driver.switch_to.active_element.get_attribute("id") == "main"
    driver.find_element(By.CSS_SELECTOR, "#last-change a[href*='#/run']").click()
    assert heading in text(driver)
    assert "toolkit build-and-test --patch" in text(driver, "#command")
    assert "build" in text(driver, "#stages")
    driver.back()
    until(driver, lambda: text(driver, "h1") == heading)


def test_it_can_be_used_with_the_keyboard_alone(show: Callable[..., Any]) -> None:
    driver = show("#/cases")
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the content"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "main"
    body.send_keys("/")
    active = driver.switch_to.active_element
    assert (active.get_attribute("id"), active.get_attribute("value")) == ("q", "")
    active.send_keys(Keys.TAB)
    for shown in ("failing", "failed"):
        driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        assert f"show={shown}" in driver.current_url
    driver.find_element(By.CSS_SELECTOR, "main tbody a").send_keys(Keys.ENTER)
    until(driver, lambda: "#/case?" in driver.current_url)


@pytest.mark.parametrize(
    "at",
    ["#/case?id=none", "#/run?at=1", "#/nonsense", "#%", "#/cases?show=__proto__&sort=constructor"]
    + [f"#/{view}?series=none&kernel=none&days=x" for view in VIEWS],
)
def test_an_address_that_names_nothing_says_so(show: Callable[..., Any], at: str) -> None:
    driver = show(at)
    assert text(driver, "h1")
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_words_are_shown_and_do_nothing(driver: Any, tmp_path: Path, width: str) -> None:
    runs: list[Run] = []
    leaves: dict[str, list[Outcome]] = {}
    for number, word in enumerate([*HOSTILE, "<img src=x onerror='stolen=1'>", "javascript:x"]):
        for status in (Status.PASS, Status.FAIL):
            leaves.setdefault(f"{word}/{word}/{word}", []).append(Outcome(len(runs), status, 1.0))
            stages = ((word, 1.0, False),)
            common = {"series": word, "kernel": word, "command": word, "folder": Path("/", word)}
            runs.append(a_run(started=1000 + number, build=word, stages=stages, **common))
    index, _ = _written(tmp_path, Archive(tuple(runs), leaves))
    for view in ("", "#/cases", "#/runs", "#/timings"):
        chromium.show(driver, index, width, at=view)
        chromium.check_readable(driver, width)
        assert driver.find_elements(By.CSS_SELECTOR, "main script, main img, main style") == []
    assert "img src=x" in text(driver)
    chromium.show(driver, index, width, at="#/cases")
    addresses = [
        each.get_attribute("href") for each in driver.find_elements(By.CSS_SELECTOR, "main th a")
    ]
    assert len(addresses) == len(HOSTILE) + 2
    for address in addresses:
        driver.get("about:blank")
        driver.get(address)
        assert "No such" not in text(driver, "h1")
        chromium.check_readable(driver, width)


def test_without_its_script_it_says_how_the_last_runs_ended(show: Callable[..., Any]) -> None:
    driver = show()
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.refresh()
        assert text(driver, "main h1") == "Last runs"
        assert len(driver.find_elements(By.CSS_SELECTOR, "main tbody tr")) == 4
        assert not driver.find_element(By.ID, "scope").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize(("count", "cases"), [(100, 1000), (1, 100_000)])
def test_a_hundred_thousand_results(driver: Any, tmp_path: Path, count: int, cases: int) -> None:
    path = a_history.write(tmp_path / "h.sqlite", a_history.runs(count, cases))
    start = time.perf_counter()
    index, kept = _written(tmp_path, archive.read([path], Deadline.after(60)))
    made = time.perf_counter() - start
    assert kept.results == 100_000
    assert index.stat().st_size < 20_000_000
    chromium.show(driver, index)
    timing = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    loaded = driver.execute_script(timing)
    chromium.show(driver, index, at="#/cases")
    query, shown = (driver.find_element(By.ID, name) for name in ("q", "shown"))
    assert shown.text == f"{cases:,} cases"
    start = time.perf_counter()
    query.send_keys("race 001")
    until(driver, lambda: " of " in shown.text)
    print(
        f"{count} runs of {cases} cases: written in {made:.2f} s, "
        f"{index.stat().st_size / 1e6:.1f} MB, loaded after {loaded:.0f} ms, "
        f"filtered after {1000 * (time.perf_counter() - start):.0f} ms"
    )
    assert a_history.FLAKY in rows(driver)[0]
