"""Pages in headless Chromium, on a phone, on a screen and on paper: Debian's packages chromium and chromium-driver."""

import base64
import itertools
import json
import os
import re
import shutil

import pytest

from recipes.__main__ import main
from tests.recipes.report import made

DRIVER = shutil.which("chromedriver")
COMMAND = "train cifar10_cnn --preset smoke --epochs 2 --strategy cpu --run-dir"
WIDTHS = (400, 1400)  # pixels
PAPER = 717  # pixels between the margins of A4
# For each picture: what a person sees of it, and what is read out.
OF_PICTURES = """
return [...document.querySelectorAll("figure svg, figure img")].map(picture => {
  const {left, right, width, height} = picture.getBoundingClientRect();
  return {left, right, width, height,
          loaded: picture.tagName !== "IMG" || (picture.complete && picture.naturalWidth > 0),
          words: picture.getAttribute("alt") || picture.getAttribute("aria-label") || ""};
});
"""
# What reaches past the right edge, but for what has a box to be moved in.
TOO_WIDE = """
return [...document.body.querySelectorAll("*:not(svg *)")]
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter(each => arguments[0] || !each.parentElement.closest(".scroll"))
  .map(each => each.outerHTML.slice(0, 200));
"""
TEXT_SIZES = """
return [...document.querySelectorAll("figure svg text")]
  .map(text => [text.getScreenCTM(), parseFloat(getComputedStyle(text).fontSize)])
  .map(([place, size]) => size * Math.hypot(place.a, place.b));
"""
LINKS = "return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
TITLES = "return [...document.querySelectorAll('h1, h2, h3')].map(title => title.tagName)"


def trained(directory):
    assert main([*COMMAND.split(), str(directory)]) == 0


def several(directory):
    """A page of two directories, each with a long name, the second in the first."""
    made.gan(directory)
    other = directory / ("a_search_of_schedules_and_rates-" * 5)
    made.search(other)
    assert main(["report", str(directory), str(other), "--out", str(directory / "report.html")]) == 0


# what leaves each page, and how many pictures it has at least
PAGES = {
    "run": (trained, 7),
    "gan": (made.gan, 9),
    "search": (made.search, 3),
    "comparison": (made.comparison, 3),
    "several": (several, 12),
}


@pytest.fixture(scope="module")
def browser():
    if DRIVER is None:
        assert "CI" not in os.environ, "chromium-driver is missing"
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.slow_cases("several")
@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_whole(browser, pages, tmp_path, kind):
    leave, pictures = PAGES[kind]
    page = tmp_path / kind / "report.html"
    leave(page.parent)
    if not page.exists():
        assert main(["report", str(page.parent)]) == 0
    assert page.stat().st_size < 3_000_000
    for width in WIDTHS:
        size(browser, width)
        opens_in_peace(browser, page)
        pictures_are_seen(browser, width, pictures)
        assert browser.execute_script(TOO_WIDE, False) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        keep_screenshot(browser, f"{kind}-{width}", width)
        in_the_dark(browser)
        keep_screenshot(browser, f"{kind}-{width}-dark", width)
        commands_are_broken_at_spaces(browser)
    links_work(browser)
    titles_are_in_order(browser)
    prints(browser)


def in_the_dark(browser):
    """Text is light on dark there, and pictures stay on white; afterwards the page is as before."""
    look = "const of = (what) => getComputedStyle(document.querySelector(what)); return [of('body').backgroundColor, "
    look += "of('body').color, of('figure svg, figure img').backgroundColor]"
    light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{**light["features"][0], "value": "dark"}]})
    page, text, picture = (sum(map(float, re.findall(r"[0-9.]+", each)[:3])) for each in browser.execute_script(look))
    assert page < 100 < 600 < text
    assert picture == 3 * 255
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
    assert browser.execute_script(look)[0] == "rgb(255, 255, 255)"


def commands_are_broken_at_spaces(browser):
    """Each word of a command is on one line, if a line has room for it."""
    lines = "return [...document.querySelectorAll('pre span')].filter(word => word.offsetWidth < word.parentElement"
    lines += ".parentElement.clientWidth / 2).map(word => word.getClientRects().length)"
    found = browser.execute_script(lines)
    assert found
    assert set(found) == {1}


def size(browser, width, height=900):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def opens_in_peace(browser, page):
    """Nothing is said to the console, and nothing is asked for that is not in the file."""
    browser.get_log("performance")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert [url for url in asked if url.startswith("file:")] == [page.as_uri()]


def pictures_are_seen(browser, width, least):
    found = browser.execute_script(OF_PICTURES)
    assert len(found) >= least
    for picture in found:
        assert picture["loaded"], picture
        assert len(picture["words"].strip()) > 10, picture
        assert picture["width"] > 60, picture
        assert picture["height"] > 20, picture
        assert picture["left"] >= 0, picture
        assert picture["right"] <= width, picture
    assert min(browser.execute_script(TEXT_SIZES), default=10) > 7  # pixels, on the phone too


def links_work(browser):
    links = browser.execute_script(LINKS)
    assert len(links) > 2
    for link in links:
        assert re.fullmatch("#section-[0-9]+", link)
        browser.execute_script("document.querySelector(`a[href='${arguments[0]}']`).click()", link)
        assert browser.execute_script("return document.querySelector(':target').matches(arguments[0])", link)


def titles_are_in_order(browser):
    levels = [int(name[1]) for name in browser.execute_script(TITLES)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def prints(browser):
    size(browser, PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cut = browser.execute_script(TOO_WIDE, True)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert cut == []
    paper = {"paperWidth": 8.27, "paperHeight": 11.69}
    document = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert document.startswith(b"%PDF-")
    assert len(document) > 10_000
    assert re.search(rb"/Type\s*/Pages", document)


def keep_screenshot(browser, name, width):
    """To look at, where KERAS_DESCENT_SCREENSHOTS is a directory."""
    if "KERAS_DESCENT_SCREENSHOTS" in os.environ:
        size(browser, width, browser.execute_script("return document.documentElement.scrollHeight"))
        browser.save_screenshot(f"{os.environ['KERAS_DESCENT_SCREENSHOTS']}/{name}.png")
