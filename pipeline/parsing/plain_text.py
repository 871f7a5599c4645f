"""Text of others on the terminal: names, labels and headers are shown as they are and do nothing."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

__all__ = ["PlainConsole", "printable"]

_SHOWN = "\n\t"
# Control characters, those that turn the direction of the text around or are not seen, and halves of pairs.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Of the invisible ones, those that languages and emoji need.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Show what a terminal would obey instead of showing it, such as escape sequences, as Python writes it.

    Args:
        text: Any text.

    Returns:
        The same with ``\x1b`` and the like spelt out; line ends and tabs stay.

    Examples:
        >>> print(printable("a\x1b]0;title\x07b"), printable("naïve 漢字"))
        a\x1b]0;title\x07b naïve 漢字
    """
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_shown(char: str) -> bool:
    return char in _SHOWN or char in _JOINERS or unicodedata.category(char) not in _HIDDEN


class PlainConsole(Console):
    """A console for text that nobody has looked at: rich's markup and emoji codes mean nothing in it.

    Args:
        stderr: Whether it prints to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        """Open it."""
        shown = sys.stderr if stderr else sys.stdout
        # A log file has no width, and 80 columns would break tables.
        super().__init__(
            stderr=stderr, markup=False, emoji=False, width=None if shown is not None and shown.isatty() else 120
        )

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Render all text, also that of tables, made printable."""
        return super().render_str(printable(text), **options)
