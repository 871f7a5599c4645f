"""The page in a real browser: no errors, no external requests, all pictures; light, dark and on a phone."""

import re

import pytest

from tests.browser import needs_browser, opened

pytestmark = [needs_browser, pytest.mark.slow]

LOOK = """() => ({
  pictures: [...document.querySelectorAll("svg")].map((svg) => ({
    width: svg.getBoundingClientRect().width, height: svg.getBoundingClientRect().height,
    color: getComputedStyle(svg).color, shapes: svg.querySelectorAll("path, image, use").length})),
  smallest: Math.min(...[...document.querySelectorAll("svg text")].map((text) =>
    parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a || Infinity)),
  width: document.documentElement.scrollWidth, window: innerWidth,
  back: getComputedStyle(document.body).backgroundColor})"""


def brightness(color):
    return sum(map(int, re.findall(r"\d+", color)[:3]))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390)])
def test_every_picture_is_there(report, scheme, width):
    viewport = {"width": width, "height": 900}
    with opened(report[0].as_uri(), color_scheme=scheme, viewport=viewport) as (page, seen):
        looked = page.evaluate(LOOK)
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [report[0].as_uri()]
    assert len(looked["pictures"]) == 9
    for picture in looked["pictures"]:
        assert picture["width"] > 300
        assert picture["height"] > 60
        assert picture["shapes"] > 3
    assert looked["smallest"] > 9  # pixels
    assert looked["width"] <= looked["window"]  # no horizontal scrolling is needed
    back, (text,) = brightness(looked["back"]), {brightness(picture["color"]) for picture in looked["pictures"]}
    assert (back < 100 < 600 < text) if scheme == "dark" else (text < 150 < 700 < back)
