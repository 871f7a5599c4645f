import pytest

from pipeline.parsing.durations import seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("1h15min30s", 4530), ("0.5 min", 30), ("90s", 90)])
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "min", "30m", "-3min", "1h and 2min", "1e3s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"time is '.*': give a duration such as 30min"):
        seconds_of(text)
