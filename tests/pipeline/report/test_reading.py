import shutil

import pytest

from pipeline.report.reading import read_run
from stark.storage import file_digest, read_tensors


def test_a_finished_run(pruned_run, tiny_task):
    record = read_run(pruned_run)
    assert record.is_finished
    assert record.task == "sst2"
    assert record.rows_of_dev == file_digest(tiny_task.data_dir / "SST-2/dev.tsv")
    assert record.teacher is not None
    assert [curve.stage for curve in record.curves][:2] == ["finetune", "trial"]
    tensors, _ = read_tensors(pruned_run / "sparsify/teacher_scores.safetensors")
    assert len(record.units["heads"].expressiveness) == 4
    assert record.units["neurons"].friendliness[2].equal(tensors["neurons/friendliness/normalized/2"])


def test_curves_are_those_of_the_metrics(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    (run / "trial/metrics.csv").write_text("epoch,step,train/loss,val/score\n0,20,0.3,\n0,25,,0.9\n")
    # Interrupted twice: for repeated steps, the last values count.
    (run / "trial/metrics.0.csv").write_text("epoch,step,train/loss,val/score\n0,5,0.9,\n0,10,0.8,\n")
    (run / "trial/metrics.1.csv").write_text("epoch,step,train/loss,val/score\n0,10,0.7,\n")
    curve = next(curve for curve in read_run(run).curves if curve.stage == "trial")
    assert curve.losses == [(5, 0.9), (10, 0.7), (20, 0.3)]
    assert curve.scores == [(25, 0.9)]


def test_an_unfinished_run(unfinished):
    record = read_run(unfinished)
    assert not record.is_finished
    assert (record.summary, record.units, record.rows_of_dev) == (None, {}, None)
    assert {curve.stage for curve in record.curves} == {"finetune", "trial"}


def test_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no run of `stark run`"):
        read_run(tmp_path)


def test_a_line_that_is_being_written_and_one_that_is_damaged(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    file = run / "trial/metrics.csv"
    file.write_text("epoch,step,train/loss,val/score\n0,20,0.3,\n0,25,,0.")
    curve = next(curve for curve in read_run(run).curves if curve.stage == "trial")
    assert (curve.losses, curve.scores) == ([(20, 0.3)], [])
    for text in ("epoch,step,train/loss\n0,20,0.3\n0,x,0.2\n", "train/loss\n0.2\n", "step,train/loss\n1,\0\xff\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"trial/metrics\.csv is damaged: its train/loss is .*; remove it"):
            read_run(run)
