"""Debian's Chromium, headless, driven through ChromeDriver; and what the tests ask of any page.

Debian packages chromium and chromium-driver. Without them every test here is skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
    ),
]
WIDTHS = {"wide": 1280, "phone": 390}
THEMES = ("light", "dark")
# As root Chromium has no sandbox; the others keep it from looking for a network.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)


def started() -> Iterator[Any]:
    """Yield a driver of a Chromium, which ends after that."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(driver: Any, page: Path, width: str = "wide", theme: str = "light", at: str = "") -> Any:
    """Open a page afresh; ``at`` is the part of its address behind "#"."""
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size(driver, width, 900)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(page.as_uri() + at)
    return driver


def size(driver: Any, width: str, height: int) -> None:
    """Give the window a size in CSS pixels, and make it a phone's where it is that narrow."""
    metrics = {"width": WIDTHS[width], "height": height, "deviceScaleFactor": 1}
    mobile = {"mobile": width == "phone"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | mobile)


def contrast(driver: Any) -> list[str]:
    """Return the texts whose contrast with what is behind them is below WCAG's 4.5."""
    script = (Path(__file__).parent / "contrast.js").read_text()
    return list(driver.execute_script(script))


def check_readable(driver: Any, width: str) -> None:
    """See that a page fits its width, that its texts can be read, and that nothing was refused."""
    assert driver.execute_script("return document.documentElement.scrollWidth") <= WIDTHS[width]
    assert contrast(driver) == []
    assert driver.get_log("browser") == []  # no error, and the policy refused nothing
    assert driver.execute_script("return window.stolen") is None
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def keep_picture(driver: Any, width: str, name: str) -> None:
    """Keep a picture of the whole page, where ``TOOLKIT_SCREENSHOTS`` names a folder for it."""
    if folder := os.environ.get("TOOLKIT_SCREENSHOTS"):
        height = driver.execute_script("return document.documentElement.scrollHeight")
        size(driver, width, min(height, 4000))
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder, f"{name}.png")))


def until(driver: Any, condition: Callable[[], bool]) -> None:
    """Wait for a condition to hold; at most ten seconds."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 10, poll_frequency=0.02).until(lambda _: condition())
