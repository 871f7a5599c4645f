"""Formulas as MathML, which browsers show by themselves: a hook of mkdocs."""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Convert what the extension arithmatex has marked.

    Args:
        content: A page's HTML.

    Returns:
        The same with MathML in the place of TeX.
    """

    def mathml(found: re.Match[str]) -> str:
        return convert(html.unescape(found[3]), display="inline" if found[1] == "span" else "block")

    return _FORMULA.sub(mathml, content)
