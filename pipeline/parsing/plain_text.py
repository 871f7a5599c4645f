"""Untrusted text on the terminal: names, labels and headers are printed literally and have no effect on it."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

__all__ = ["PlainConsole", "printable"]

_SHOWN = "\n\t"
# Control characters, characters that reverse the direction of the text or are invisible, and lone surrogates.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Invisible characters that some languages and emoji need.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Replace characters that would control the terminal, such as escape sequences, by Python's escapes.

    Args:
        text: Any text.

    Returns:
        The text with escapes such as ``\x1b``; line ends and tabs are not replaced.

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
    """A console for untrusted text: rich's markup and emoji codes are not interpreted.

    Args:
        stderr: Whether it prints to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        """Open the console."""
        shown = sys.stderr if stderr else sys.stdout
        is_terminal = shown is not None and shown.isatty()
        super().__init__(
            stderr=stderr,
            markup=False,
            emoji=False,
            # A log file has no width, and 80 columns would break tables.
            width=None if is_terminal else 120,
            # Nothing moves in a log file, even if a variable such as FORCE_COLOR asks for colours in it.
            force_interactive=None if is_terminal else False,
        )

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Make all text printable and render it, including the text of tables."""
        return super().render_str(printable(text), **options)
