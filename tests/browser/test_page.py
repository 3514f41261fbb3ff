"""``report.html`` in a real browser; see :mod:`tests.browser.chromium`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import a_result
from tests.browser import chromium
from tests.browser.chromium import THEMES, WIDTHS, until
from toolkit.core.model.result import RunResult
from toolkit.report import html_page, view

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = chromium.MARKS


@pytest.fixture
def show(driver: Any, tmp_path: Path) -> Callable[..., Any]:
    def load(result: RunResult, width: str = "wide", theme: str = "light") -> Any:
        page = tmp_path / "report.html"
        page.write_bytes(html_page.render(view.of(result)))
        return chromium.show(driver, page, width, theme)

    return load


def shown_rows(driver: Any) -> list[str]:
    script = (
        "return [...document.querySelectorAll('.program li')]"
        ".filter(row => row.checkVisibility()).map(row => row.className)"
    )
    return list(driver.execute_script(script))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("state", [*a_result.STATES, "hostile"])
def test_every_state_can_be_read(
    show: Callable[..., Any], state: str, width: str, theme: str
) -> None:
    make = {**a_result.STATES, "hostile": a_result.hostile}[state]
    driver = show(make(), width, theme)
    chromium.check_readable(driver, width)
    chromium.keep_picture(driver, width, f"{state}-{width}-{theme}")


def test_the_filter_finds_cases_and_says_how_many(show: Callable[..., Any]) -> None:
    driver = show(a_result.failed())
    query, shown = driver.find_element(By.ID, "q"), driver.find_element(By.ID, "shown")
    assert shown_rows(driver).count("pass") == 11 + 10 + 10  # of the programs that failed
    query.send_keys("match_test case_07")
    until(driver, lambda: shown.text == "1 of 61 cases")
    assert shown_rows(driver) == ["pass"]
    query.send_keys(Keys.ESCAPE)
    until(driver, lambda: shown.text == "")
    driver.find_element(By.CSS_SELECTOR, "input[value=pass]").click()
    assert shown.text == "9 of 61 cases"
    assert "pass" not in shown_rows(driver)
    query.send_keys("no such case")
    until(driver, lambda: shown.text == "0 of 61 cases")
    assert shown_rows(driver) == []


def test_it_can_be_used_with_the_keyboard_alone(show: Callable[..., Any]) -> None:
    driver = show(a_result.failed())
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the results"
    body.send_keys("/")
    active = driver.switch_to.active_element
    assert active.get_attribute("id") == "q"
    assert active.get_attribute("value") == ""
    closed = driver.find_element(By.CSS_SELECTOR, "details.program:not([open]) > summary")
    driver.execute_script("arguments[0].focus()", closed)
    closed.send_keys(Keys.ENTER)
    assert closed.find_element(By.XPATH, "..").get_attribute("open")


def test_a_failure_in_the_list_leads_to_its_story(show: Callable[..., Any]) -> None:
    driver = show(a_result.failed())
    driver.find_element(By.CSS_SELECTOR, "li.timeout a").click()
    target = driver.find_element(By.CSS_SELECTOR, ".case:target")
    assert "case_09" in target.text
    assert "did not end within 45 s" in target.text


def test_a_command_is_copied_whole(show: Callable[..., Any]) -> None:
    driver = show(a_result.failed())
    code = driver.find_element(By.CSS_SELECTOR, ".failure .command code")
    button = driver.find_element(By.CSS_SELECTOR, ".failure .copy")
    button.click()
    until(driver, lambda: button.text in ("Copied", "Selected"))
    assert code.text == "toolkit build-and-test --patch v4 --suite kvm --test iosignalfd_args_test"


def test_it_is_whole_without_its_script(show: Callable[..., Any]) -> None:
    show(a_result.passed())
    driver = show(a_result.failed())
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.refresh()
        driver.find_element(By.CSS_SELECTOR, "details.program:not([open]) > summary").click()
        assert not driver.find_element(By.ID, "filter").is_displayed()
        assert len(driver.find_elements(By.CSS_SELECTOR, "details.program[open]")) == 4
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_ten_thousand_cases_open_and_can_be_filtered(show: Callable[..., Any]) -> None:
    driver = show(a_result.huge())
    timing = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    print(f"10,000 cases: loaded after {driver.execute_script(timing):.0f} ms")
    driver.find_element(By.ID, "q").send_keys("usual_name_4242")
    shown = driver.find_element(By.ID, "shown")
    until(driver, lambda: shown.text == "1 of 10000 cases")
    assert len(shown_rows(driver)) == 1
