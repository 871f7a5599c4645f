from pipeline.report.page import Number, Page, Table, write_page
from pipeline.report.pictures import Picture

PAGE = Page(
    title="mine <b>",
    headline=["It's *good* & small."],
    numbers=[Number("2 x", "as fast")],
    pictures=[Picture("A line", '<svg width="100%" xmlns="http://www.w3.org/2000/svg" stroke="currentColor"/>')],
    tables=[Table("Models", ["", "score"], [["teacher", "1"], ["student", "2"]], "A note.")],
    command="stark run --config x",
    settings="seed: 1 <2",
)


def test_html_is_whole_and_escaped(tmp_path):
    html, _ = write_page(PAGE, tmp_path / "a/report.html")
    text = html.read_text()
    assert "<h1>mine &lt;b&gt;</h1>" in text
    assert "It&#39;s *good* &amp; small." in text
    assert "<figcaption>A line</figcaption><svg" in text
    assert "<td>student</td><td>2</td>" in text
    assert "seed: 1 &lt;2" in text
    assert "<script" not in text


def test_markdown_says_the_same(tmp_path):
    _, markdown = write_page(PAGE, tmp_path / "report.html")
    lines = markdown.read_text().splitlines()
    for line in (
        "# mine <b>",
        "It's *good* & small.",
        "- **2 x** as fast",
        "![A line](report_pictures/0.svg)",
        "|  | score |",
        "|---|---:|",
        "| student | 2 |",
        "A note.",
        "stark run --config x",
    ):
        assert line in lines
    assert "currentColor" not in (tmp_path / "report_pictures/0.svg").read_text()
