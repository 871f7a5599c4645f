"""Foreign text on the terminal."""

import pytest
from rich.table import Table

from pipeline.execution.display import Display, plan_table
from pipeline.execution.plan import Decision
from pipeline.parsing.errors import fail
from pipeline.parsing.plain_text import PlainConsole, printable

# Text that rich or a terminal would interpret: an end of markup without a start, a colour, an emoji, a title, a cleared
# screen (also as one character), a return to the start of the line, right-to-left text.
HOSTILE = "x[/b]y[red]z:smile:\x1b]0;owned\x07\x1b[2J\x9b2J\r\u202e"
SHOWN = r"x[/b]y[red]z:smile:\x1b]0;owned\x07\x1b[2J\x9b2J\r\u202e"


@pytest.mark.parametrize("text", ["naïve", "漢字\tand\nlines", "क्\u200dष", "👩\u200d💻", ""])
def test_text_of_any_language_stays(text):
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable(HOSTILE) == SHOWN
    assert printable("\ud800\u2028") == r"\ud800\u2028"


def test_a_console_shows_it_everywhere(capsys):
    console = PlainConsole()
    table = Table(title=HOSTILE, caption=HOSTILE)
    table.add_column(HOSTILE, no_wrap=True)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 5
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e")


def test_a_run_with_a_hostile_name_is_shown(capsys):
    display = Display()
    with display.stage(HOSTILE, HOSTILE):
        pass
    display.started(HOSTILE, HOSTILE)
    display.finished(HOSTILE, 1)
    display.skipped(HOSTILE)
    display.console.print(plan_table({HOSTILE: Decision("run", HOSTILE)}))
    shown = capsys.readouterr().out
    assert shown.count("x[/b]y[red]z:smile:") >= 7
    assert "\x1b]0" not in shown


def test_so_is_an_error(capsys):
    with pytest.raises(SystemExit):
        fail(HOSTILE)
    # Line ends of all kinds become spaces.
    assert capsys.readouterr().err == f"stark: error: {SHOWN}\n".replace(r"\r", " ")
