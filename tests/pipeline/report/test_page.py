from dataclasses import replace

import pytest

from pipeline.report.marks import Mark
from pipeline.report.page import Number, Page, Table, write_page
from pipeline.report.pictures import Picture

PAGE = Page(
    title="mine <b>",
    headline=["It's *good* & small."],
    numbers=[Number("2 x", "as fast")],
    pictures=[Picture("A line", '<svg width="100%" xmlns="http://www.w3.org/2000/svg" stroke="currentColor"/>')],
    tables=[
        Table(
            "Models", ["", "score"], [["teacher", "1"], ["student", "2"]], "A note.", [None, Mark("#3f7fd0", "s", "■")]
        )
    ],
    command="stark run --config x",
    settings="seed: 1 <2",
)


def test_html_is_whole_and_escaped(tmp_path):
    html, _ = write_page(PAGE, tmp_path / "a/report.html")
    text = html.read_text()
    assert "<h1>mine &lt;b&gt;</h1>" in text
    assert "It&#39;s *good* &amp; small." in text
    assert "<figcaption>A line</figcaption><svg" in text
    assert "<td><div>teacher</div></td><td>1</td>" in text
    assert '<span style="color: #3f7fd0" aria-hidden="true">■</span> student</div></td><td>2</td>' in text
    assert text.index('class="answer"') < text.index("It&#39;s") < text.index("2 x")
    assert "seed: 1 &lt;2" in text
    assert "<script" not in text


def test_markdown_says_the_same(tmp_path):
    _, markdown = write_page(PAGE, tmp_path / "report.html")
    lines = markdown.read_text().splitlines()
    for line in (
        r"# mine \<b>",
        r"It's *good* \& small.",
        "- **2 x** as fast",
        "![A line](report_pictures/0.svg)",
        "|  | score |",
        "|---|---:|",
        "| teacher | 1 |",
        "| ■ student | 2 |",
        "A note.",
        "stark run --config x",
    ):
        assert line in lines
    assert lines[2] == r"It's *good* \& small."  # the answer is first
    assert "currentColor" not in (tmp_path / "report_pictures/0.svg").read_text()


HOSTILE = "</td><img src=x onerror=alert(1)>|[x](javascript:alert(1)) `a` ![y](http://tracker)\n\n# more"


def test_names_stay_text(tmp_path):
    page = Page(
        title=HOSTILE,
        headline=[HOSTILE],
        numbers=[Number(HOSTILE, HOSTILE)],
        pictures=[replace(PAGE.pictures[0], title=HOSTILE)],
        tables=[Table(HOSTILE, ["", HOSTILE], [[HOSTILE, HOSTILE]], HOSTILE)],
        command=f"stark run\n```\n{HOSTILE}",
        settings=HOSTILE,
    )
    html, markdown = (file.read_text() for file in write_page(page, tmp_path / "report.html"))
    assert "<img" not in html
    outside, command, _ = markdown.split("````")
    assert HOSTILE in command
    for mark in ("<img", "](javascript", "](http:", "|["):
        assert mark not in outside.replace(f"\\{mark}", "")
    assert outside.count("\n# ") == 0
    assert outside.startswith("# ")


@pytest.mark.parametrize("name", ["page.html", "page.md", "page_pictures/0.svg"])
def test_files_of_others_are_kept(name, tmp_path):
    """Tested for the page, the Markdown and the pictures next to it."""
    target, theirs = tmp_path / "page.html", tmp_path / name
    write_page(PAGE, target)
    write_page(PAGE, target)  # replaces what it wrote
    theirs.write_text(f"{theirs.read_text()}theirs")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(FileExistsError, match=f"{name} exists and is not an earlier output"):
        write_page(replace(PAGE, title="other"), target)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    write_page(PAGE, target, overwrite=True)
    assert not theirs.read_text().endswith("theirs")


@pytest.mark.parametrize("name", ["page.md", "manifest.json", "page", "page.HTML.txt"])
def test_a_page_is_html(name, tmp_path):
    (tmp_path / name).write_text("theirs")
    with pytest.raises(ValueError, match=r"give a name that ends in \.html"):
        write_page(PAGE, tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_text() == "theirs"
