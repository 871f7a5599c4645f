from pipeline.report.marks import OTHER, marks_of, run_marks
from tests.pipeline.runs import read


def luminance(color):
    """Of sRGB, as WCAG defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_marks_differ():
    marks = marks_of(f"runs/{number}" for number in range(56))
    assert len(set(marks.values())) == 56
    assert len({mark.color for mark in list(marks.values())[:8]}) == 8
    assert marks_of(["a", "a", "b"]) == marks_of(["a", "b"])


def test_marks_are_readable_in_light_and_dark_mode():
    """WCAG asks for a contrast of 3:1 of graphics; the backgrounds are those of the page's figures."""
    for mark in (OTHER, *run_marks().values(), *marks_of(map(str, range(8))).values()):
        assert contrast(mark.color, "#f5f6f8") > 3
        assert contrast(mark.color, "#1d2125") > 3


def test_names_are_those_of_a_run(pruned_run):
    assert {model["name"] for model in read(pruned_run)["models"]} <= run_marks().keys()
