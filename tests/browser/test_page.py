"""``report.html`` in a real browser: Debian's Chromium, headless, driven through ChromeDriver.

Debian packages chromium and chromium-driver. Without them every test here is skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import a_result
from toolkit.core.model.result import RunResult
from toolkit.report import html_page, view

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
WIDTHS = {"wide": 1280, "phone": 390}
# As root Chromium has no sandbox; the others keep it from looking for a network.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def show(driver: Any, tmp_path: Path) -> Callable[..., Any]:
    def load(result: RunResult, width: str = "wide", theme: str = "light") -> Any:
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        _size(driver, width, 900)
        page = tmp_path / "report.html"
        page.write_bytes(html_page.render(view.of(result)))
        driver.get_log("browser")
        driver.get(page.as_uri())
        return driver

    return load


def _size(driver: Any, width: str, height: int) -> None:
    metrics = {"width": WIDTHS[width], "height": height, "deviceScaleFactor": 1}
    mobile = {"mobile": width == "phone"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | mobile)


def shown_rows(driver: Any) -> list[str]:
    script = (
        "return [...document.querySelectorAll('.program li')]"
        ".filter(row => row.checkVisibility()).map(row => row.className)"
    )
    return list(driver.execute_script(script))


def contrast(driver: Any) -> list[str]:
    """Return the texts whose contrast with what is behind them is below WCAG's 4.5."""
    script = (Path(__file__).parent / "contrast.js").read_text()
    return list(driver.execute_script(script))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("state", [*a_result.STATES, "hostile"])
def test_every_state_can_be_read(
    show: Callable[..., Any], state: str, width: str, theme: str
) -> None:
    make = {**a_result.STATES, "hostile": a_result.hostile}[state]
    driver = show(make(), width, theme)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= WIDTHS[width]
    assert contrast(driver) == []
    assert driver.get_log("browser") == []  # no error, and the policy refused nothing
    assert driver.execute_script("return window.stolen") is None
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    if folder := os.environ.get("TOOLKIT_SCREENSHOTS"):
        height = driver.execute_script("return document.documentElement.scrollHeight")
        _size(driver, width, min(height, 4000))
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder, f"{state}-{width}-{theme}.png")))


def test_the_filter_finds_cases_and_says_how_many(show: Callable[..., Any]) -> None:
    driver = show(a_result.failed())
    query, shown = driver.find_element(By.ID, "q"), driver.find_element(By.ID, "shown")
    assert shown_rows(driver).count("pass") == 11 + 10 + 10  # of the programs that failed
    query.send_keys("match_test case_07")
    _until(driver, lambda: shown.text == "1 of 61 cases")
    assert shown_rows(driver) == ["pass"]
    query.send_keys(Keys.ESCAPE)
    _until(driver, lambda: shown.text == "")
    driver.find_element(By.CSS_SELECTOR, "input[value=pass]").click()
    assert shown.text == "9 of 61 cases"
    assert "pass" not in shown_rows(driver)
    query.send_keys("no such case")
    _until(driver, lambda: shown.text == "0 of 61 cases")
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
    _until(driver, lambda: button.text in ("Copied", "Selected"))
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
    _until(driver, lambda: shown.text == "1 of 10000 cases")
    assert len(shown_rows(driver)) == 1


def _until(driver: Any, condition: Callable[[], bool]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 10, poll_frequency=0.02).until(lambda _: condition())
