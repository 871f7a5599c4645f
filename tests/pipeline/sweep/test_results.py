import json
from io import StringIO

import pytest
from rich.console import Console

from pipeline.sweep.results import is_sweep, read_results, table_of, write_results
from pipeline.sweep.study import finished_trials
from stark.errors import StarkError
from tests.pipeline.sweep.studies import POINTS, study_of, sweep_of


def test_the_file_and_the_table_have_all_of_it(tmp_path):
    sweep = sweep_of(tmp_path)
    trials = finished_trials(study_of(sweep), sweep)
    write_results(tmp_path, sweep, trials)
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert [tuple(trial["measured"].values()) for trial in kept["trials"]] == POINTS
    assert all(0.1 <= trial["settings"]["student.sparsity"] <= 0.9 for trial in kept["trials"])
    shown = StringIO()
    Console(file=shown, width=120).print(table_of(sweep, trials))
    rows = [line.split() for line in shown.getvalue().splitlines() if line.startswith("00")]
    assert [row[0] for row in rows if row[1] == "-"] == ["0003"]
    assert [row[0] for row in rows if row[1] == "*"] == [trial.name for trial in trials if trial.is_best]


def test_the_file_is_read_as_it_was_written(tmp_path):
    sweep = sweep_of(tmp_path)
    assert not is_sweep(tmp_path)
    write_results(tmp_path, sweep, trials := finished_trials(study_of(sweep), sweep))
    assert is_sweep(tmp_path)
    found = read_results(tmp_path)
    assert (found.objectives, found.constraints, found.trials) == (sweep.objectives, sweep.constraints, trials)
    assert found.measured == ["score", "encoder_parameters", "latency"]


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ('"trials"', '"trails"', "is damaged: give the sweep's command again"),
        ('"is_best"', '"best"', "is damaged"),
        ('"score": 0.9', '"f1": 0.9', "is damaged"),
        ("{", "", "is damaged"),
        ('"schema": 1', '"schema": 9', "has schema 9, this version reads 1"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, good, bad, complaint):
    sweep = sweep_of(tmp_path)
    write_results(tmp_path, sweep, finished_trials(study_of(sweep), sweep))
    file = tmp_path / "sweep.json"
    file.write_text(file.read_text().replace(good, bad))
    with pytest.raises(StarkError, match=f"^{file} {complaint}"):
        read_results(tmp_path)
