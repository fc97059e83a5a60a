"""The page in a real browser: a photograph goes in by the file dialog, and nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from serving import served

pytestmark = pytest.mark.slow

PATIENCE = 60
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def browser(tmp_path):
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("install chromium and chromium-driver to run this test")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    arguments = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--window-size=1280,1000", *QUIET)
    for argument in (*arguments, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


def wait_for(browser, xpath):
    """The first element that is to be seen there."""

    def seen(_):
        return next((one for one in browser.find_elements(By.XPATH, xpath) if one.is_displayed()), None)

    return WebDriverWait(browser, PATIENCE).until(seen)


def requested(browser):
    """Addresses that the pages asked for, those of the browser's own pages left out."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {url for url in urls if not url.startswith(("data:", "blob:", "chrome:"))}


def test_a_photograph_is_cleaned_in_the_browser(server, browser, tmp_path):
    rng = np.random.default_rng(0)
    noisy = (128 + rng.normal(0, 20, (120, 160, 3))).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "grain.png")
    browser.get(server.address)
    wait_for(browser, "//button[normalize-space(.)='Clean']")
    browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "grain.png"))
    assert "sigma" in wait_for(browser, "//li[contains(., 'Noise:')]").text
    shown = wait_for(browser, "//a[contains(@href, 'grain.clean.png')]")
    assert urlsplit(shown.get_attribute("href")).netloc == urlsplit(server.address).netloc
    pictures = browser.find_elements(By.XPATH, "//img[contains(@src, 'whole-')]")
    assert sorted(picture.get_property("naturalWidth") for picture in pictures) == [160, 160]


def test_every_tab_opens_and_nothing_comes_from_elsewhere(server, browser):
    browser.get(server.address)
    for tab, button in [("Harden a network", "Harden"), ("Audit a network", "Audit"), ("Clean a photograph", "Clean")]:
        wait_for(browser, f"//button[@role='tab'][contains(., '{tab}')]").click()
        wait_for(browser, f"//button[normalize-space(.)='{button}']")
    assert browser.title == "noisewise: noise, put to work"
    hosts = {urlsplit(url).netloc for url in requested(browser)}
    assert hosts == {urlsplit(server.address).netloc}
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_an_error_is_read_on_the_page(server, browser, tmp_path):
    (tmp_path / "letter.png").write_text("no image at all")
    browser.get(server.address)
    wait_for(browser, "//button[normalize-space(.)='Clean']")
    browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "letter.png"))
    wait_for(browser, "//*[contains(text(), 'Cannot read letter.png: its content is not PNG')]")
