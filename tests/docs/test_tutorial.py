import pytest

from tests.docs.pages import follow


@pytest.mark.slow
def test_the_tutorial_ends_with_labelled_rows(tmp_path, warm):
    follow("tutorial.md", tmp_path, warm)
    rows = (tmp_path / "labelled.csv").read_text().splitlines()
    assert rows[0] == "body,stars,predicted,probability,probability_bad,probability_good"
    assert len(rows) == len((tmp_path / "dev.csv").read_text().splitlines())
    assert (tmp_path / "runs/reviews/report.html").is_file()
    assert (tmp_path / "runs/reviews/student/README.md").read_text().startswith("---\nlanguage: en\n")
