"""The page in a real browser: no error, nothing from outside, every picture there, in light and dark and on a phone."""

import json
import re
import shutil
import subprocess

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: apt install chromium)")

# Only in the copy that is tested: a page has no script of its own.
LOOK = """<script>
addEventListener("load", () => {
  const seen = [...document.querySelectorAll("svg")].map((svg) => {
    const box = svg.getBoundingClientRect();
    return {width: box.width, height: box.height, color: getComputedStyle(svg).color,
            shapes: svg.querySelectorAll("path, image, use").length};
  });
  document.documentElement.dataset.seen = JSON.stringify({
    pictures: seen, width: document.documentElement.scrollWidth, window: innerWidth,
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    back: getComputedStyle(document.body).backgroundColor});
});
</script></head>"""


def look(html, folder, *options):
    """What the browser makes of the page."""
    copy = folder / "looked_at.html"
    copy.write_text(html.read_text().replace("</head>", LOOK, 1))
    log = folder / "net.json"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--disable-component-update", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--log-net-log={log}", "--enable-logging=stderr", *options, "--dump-dom", copy.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "CONSOLE" not in ran.stderr
    found = re.search(r'data-seen="([^"]*)"', ran.stdout)
    # What the browser asks for on its own account has no page as its origin.
    asked = [
        event["params"]["url"]
        for event in json.loads(log.read_text())["events"]
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    ]
    return json.loads(found[1].replace("&quot;", '"')), asked


@pytest.mark.parametrize(
    ("options", "dark"),
    [
        (("--window-size=1200,900", "--blink-settings=preferredColorScheme=1"), False),
        (("--window-size=1200,900", "--blink-settings=preferredColorScheme=0"), True),
        (("--window-size=500,800",), None),
    ],
)
def test_every_picture_is_there(report, tmp_path, options, dark):
    seen, asked = look(report[0], tmp_path, *options)
    assert len(seen["pictures"]) == 7
    for picture in seen["pictures"]:
        assert picture["width"] > 300
        assert picture["height"] > 60
        assert picture["shapes"] > 3
    assert seen["width"] <= seen["window"]  # nothing has to be scrolled to from the side
    assert [url for url in (*asked, *seen["resources"]) if not url.startswith(("file:", "data:"))] == []
    if dark is not None:
        (back,) = {sum(map(int, re.findall(r"\d+", seen["back"])[:3]))}
        (text,) = {sum(map(int, re.findall(r"\d+", picture["color"])[:3])) for picture in seen["pictures"]}
        assert (back < 100 < 600 < text) if dark else (text < 150 < 700 < back)
