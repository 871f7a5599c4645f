"""How models answer real rows; the clock is replaced, so that the numbers are known."""

import shutil

import numpy as np
import pytest

from pipeline.alternatives.features import Texts
from pipeline.report import using
from pipeline.report.using import kept_uses, measure_uses
from pipeline.results.measurements import read_sessions

FOLDERS = ["finetune/model", "alternatives/tfidf"]
ROWS = Texts([f"row {number}" for number in range(50)])


@pytest.fixture
def run(simple_run, tmp_path, monkeypatch):
    """A copy of a run, in which every call takes as many seconds as it has rows, and twice as many in the teacher."""
    shutil.copytree(simple_run, tmp_path / "run")
    monkeypatch.setattr(using, "_cold_start", lambda *_: 1.5)
    monkeypatch.setattr(using, "_opened", lambda folder: folder.name)
    monkeypatch.setattr(using, "_seconds", lambda name, rows: len(rows.first) * (2 if name == "model" else 1))
    monkeypatch.setattr(using, "_WARM_UP", 0)
    return tmp_path / "run"


def test_numbers_are_those_of_their_definitions(run, monkeypatch):
    seconds = {row: number / 1000 for number, row in enumerate(ROWS.first)}
    monkeypatch.setattr(using, "_seconds", lambda _, rows: sum(seconds[row] for row in rows.first))
    found = measure_uses(run, FOLDERS, ROWS).of["finetune/model"]
    numbers = np.arange(50)
    assert (found.p50, found.p95, found.p99) == pytest.approx(np.percentile(numbers, [50, 95, 99]))
    assert found.rows_per_second == pytest.approx(50 / (numbers.sum() / 1000))
    files = [file for file in (run / "finetune/model").iterdir() if file.name != "README.md"]
    assert found.megabytes == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert found.cold_start == 1.5


def test_rows_of_a_pair_stay_together(run, monkeypatch):
    seen = []
    monkeypatch.setattr(using, "_seconds", lambda _, rows: seen.append(rows) or 0.001)
    measure_uses(run, FOLDERS, Texts(ROWS.first, [f"pair of {row}" for row in ROWS.first]))
    assert all(second == f"pair of {first}" for rows in seen for first, second in zip(*rows, strict=True))
    assert {len(rows.first) for rows in seen} == {1, 32, 18}


def test_models_are_measured_once(run):
    assert kept_uses(run, FOLDERS) is None
    first = measure_uses(run, FOLDERS, ROWS)
    assert first.of["finetune/model"].p50 == 2 * first.of["alternatives/tfidf"].p50 == 2000
    assert kept_uses(run, FOLDERS[:1]) == measure_uses(run, FOLDERS, ROWS) == first
    (session,) = read_sessions(run)
    assert first.time == session.time
    (run / "finetune/model/README.md").write_text("a card")
    assert kept_uses(run, FOLDERS) == first
    (run / "alternatives/tfidf/vocabulary.json").write_text("{}")
    assert kept_uses(run, FOLDERS) is None
    assert kept_uses(run, FOLDERS[:1]) == first


def test_models_and_alternatives_are_opened_as_functions_of_texts(simple_run):
    for folder in FOLDERS:
        answer = using._opened(simple_run / folder)
        assert using._seconds(answer, ROWS) > 0
        assert len(answer(ROWS) if folder.startswith("alt") else answer(ROWS).predictions) == 50


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_first_answer_is_that_of_a_process_of_its_own(simple_run, folder):
    assert 0.1 < using._cold_start(simple_run / folder, Texts(["a row"])) < 120
