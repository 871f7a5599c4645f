"""Differences of scores: oracles are the paired normal interval over rows and Student's t over seeds."""

import json
import shutil

import pytest
import torch
from scipy import stats

from pipeline.execution.manifest import Manifest
from pipeline.report.difference import DevAnswers, difference, read_answers, why_not_comparable
from pipeline.report.reading import read_run
from pipeline.results.summary import Summary
from stark.storage import file_digest, write_tensors
from tests.pipeline.runs import leave, read

LABELS = torch.zeros(500)


def accuracy(predicted, labels):
    return float((predicted == labels).double().mean())


def answers(teacher=None, student=None, **known):
    teacher, student = (torch.zeros(1, 500) if said is None else said for said in (teacher, student))
    values = {"task": "sst2", "rows": "a", "metrics": ["accuracy"], "labels": LABELS, "metric": accuracy, "seeds": [7]}
    return DevAnswers(teacher=teacher, student=student, **{**values, **known})


def test_the_difference_is_paired():
    """Both are right on 80 % of the rows; the interval depends on how many rows they disagree on."""
    first = (torch.arange(500) >= 400).float()
    near, far = first.clone(), first.flip(0)
    near[:5], near[400:405] = 1, 0
    for second, disagreeing in ((near, 10), (far, 200)):
        for same_seeds in (True, False):
            found = difference(answers(), first[None], second[None], same_seeds=same_seeds)
            assert found.points.value == pytest.approx(0)
            half = (found.points.high - found.points.low) / 2
            assert half == pytest.approx(100 * 1.96 * disagreeing**0.5 / 500, rel=0.15)
            assert found.holds_for == "other rows"


def test_with_the_same_seeds_it_holds_for_others():
    """A seed is right on all rows or on none, so that only the seeds vary; the teacher is the same for all of them."""
    students = torch.tensor([0.0, 1, 0, 1])[:, None].expand(4, 500)
    found = difference(answers(), torch.ones(1, 500), students, same_seeds=True)
    low, high = stats.ttest_1samp([100.0, 0, 100, 0], 0).confidence_interval(0.95)
    assert (found.points.value, found.points.low, found.points.high) == pytest.approx((50, low, high))
    assert found.holds_for == "other rows and seeds"


def test_other_seeds_are_taken_as_they_are():
    students = torch.tensor([0.0, 1, 0, 1])[:, None].expand(4, 500)
    found = difference(answers(), torch.ones(1, 500), students, same_seeds=False)
    assert (found.points.value, found.points.low, found.points.high) == pytest.approx((50, 50, 50))
    assert found.holds_for == "other rows"


def test_what_is_not_comparable():
    assert why_not_comparable(answers(), answers()) == ""
    for known, reason in (
        ({"task": "rte"}, "another task"),
        ({"rows": "b"}, "other rows of dev"),
        ({"rows": None}, "rows of dev are not recorded"),
        ({"labels": 1 - LABELS}, "other rows of dev"),
        ({"labels": LABELS[1:]}, "other rows of dev"),
        ({"metrics": ["f1"]}, "another score"),
    ):
        assert why_not_comparable(answers(), answers(**known)) == reason


@pytest.mark.parametrize("method", ["dense_teacher", "sparse_teacher"])
def test_answers_are_those_of_the_chosen_student_with_each_seed(pruned_run, tmp_path, method):
    run = tmp_path / "tiny"
    shutil.copytree(pruned_run, run)
    summary = read(run)
    (choice,) = summary["best_by_method"]
    by_folder = {model["folder"]: model for model in summary["models"]}
    summary["best"] = by_folder[choice[method]]
    other = next(folder for name, folder in choice.items() if name.endswith("_teacher") and name != method)
    summary["best_by_method"].append({**choice, "seed": 5, method: other})
    leave(run, "summary.json", json.dumps(summary))
    # Logits by which all models differ, as the tiny models answer alike.
    labels = torch.randint(2, (50,))
    logits = {folder: torch.randn(50, 2) for folder in by_folder}
    write_tensors(run / "dev_logits.safetensors", {**logits, "labels": labels})
    manifest = Manifest.read(run)
    manifest.stages["evaluate"].outputs["dev_logits.safetensors"] = file_digest(run / "dev_logits.safetensors")
    manifest.write()
    found = read_answers(read_run(run), Summary.read(run))
    assert found.seeds == [choice["seed"], 5]
    expected = [logits[folder].argmax(1).tolist() for folder in (choice[method], other)]
    assert found.student.tolist() == expected
    assert found.teacher.tolist() == [logits["finetune/model"].argmax(1).tolist()]
    assert found.labels.equal(labels)
    assert found.metric(found.teacher[0], labels) == pytest.approx(accuracy(found.teacher[0], labels))
