import pytest

from pipeline.results.markdown import as_code, as_text, fence_of


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("80.1 [79.0, 81.2], 50 % & more *", r"80.1 [79.0, 81.2], 50 % \& more *"),
        ("[a](javascript:b)", r"[a]\(javascript:b)"),
        ("![a][b] [c]: d", r"![a]\[b] [c]\: d"),
        ("<img> &lt; a|b `c` \\", r"\<img> \&lt; a\|b \`c\` " + "\\\\"),
        ("a\n\n# b\r\n c", "a # b c"),
    ],
)
def test_marks_stay_text(text, written):
    assert as_text(text) == written


def test_code_holds_any_backticks():
    assert as_code("a/b") == "`a/b`"
    assert as_code("`a``b`\n\nc") == "``` `a``b` c ```"
    assert fence_of("a") == "```"
    assert fence_of("a\n`````\n") == "``````"
