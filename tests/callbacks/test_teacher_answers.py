"""Answers from files in the place of the teacher's logits: the same students where the answers are the teacher's."""

import json

import pytest
import torch

from callbacks import TeacherAnswers, TeacherCache, TeacherSparsification
from pipeline.deploy.classifier import open_classifier
from stark.losses.hidden_states import HiddenStates
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer


@pytest.fixture(scope="module")
def answers(tiny_task, tmp_path_factory):
    """The teacher's probabilities for all rows of train, in another order."""
    lines = (tiny_task.data_dir / "SST-2/train.tsv").read_text().splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines]
    found = open_classifier(tiny_task.teacher)(texts).probabilities.tolist()
    file = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    rows = [
        {"sentence": text, "probability_negative": first, "probability_positive": second}
        for text, (first, second) in zip(texts, found, strict=True)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    return file


def distil(task, folder, callbacks, loss=None, ckpt_path=None, **settings):
    module = task.distillation(loss=loss)
    asked = []
    module.teacher.register_forward_hook(lambda *_: asked.append(1))
    settings = {"max_epochs": 2, **settings}
    return fit(make_trainer(folder, callbacks, **settings), module, task.data(), ckpt_path), len(asked)


def layered():
    return WeightedSum([SoftTargets(), HiddenStates()], [1.0, 1.0])


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("loss", [SoftTargets, layered])
def test_the_teachers_own_answers_give_the_same_student(tiny_task, answers, tmp_path, cached, loss):
    cache = [TeacherCache()] if cached else []
    expected, before = distil(tiny_task, tmp_path / "asked", cache, loss())
    found, asked = distil(tiny_task, tmp_path / "files", [TeacherAnswers([str(answers)]), *cache], loss())
    assert asked == (before if loss is layered else 0)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-4)


def test_other_answers_give_another_student(tiny_task, answers, tmp_path):
    swapped = tmp_path / "swapped.jsonl"
    swapped.write_text(
        answers.read_text().replace("_negative", "_@").replace("_positive", "_negative").replace("_@", "_positive")
    )
    first, _ = distil(tiny_task, tmp_path / "a", [TeacherAnswers([str(answers)])])
    second, _ = distil(tiny_task, tmp_path / "b", [TeacherAnswers([str(swapped)])])
    assert differences(first, second) != []
    both, _ = distil(tiny_task, tmp_path / "c", [TeacherAnswers([str(answers), str(swapped)])])
    assert differences(both, first) != []


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_resumed_fit_has_the_same_answers(tiny_task, answers, tmp_path):
    whole, _ = distil(tiny_task, tmp_path / "whole", [TeacherAnswers([str(answers)])])
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        distil(tiny_task, tmp_path / "stopped", [TeacherAnswers([str(answers)]), StopAt(path, ("step", 9))])
    resumed, _ = distil(tiny_task, tmp_path / "stopped", [TeacherAnswers([str(answers)])], ckpt_path=path)
    assert differences(resumed, whole) == []
    other = tmp_path / "other.jsonl"
    first, *rest = answers.read_text().splitlines(True)
    row = {**json.loads(first), "probability_negative": 0.5, "probability_positive": 0.5}
    other.write_text(json.dumps(row) + "\n" + "".join(rest))
    with pytest.raises(ValueError, match="the teacher's answers are not those that the checkpoint was made with"):
        distil(tiny_task, tmp_path / "stopped", [TeacherAnswers([str(other)])], ckpt_path=path)


def test_a_teacher_that_is_changed_is_refused(tiny_task, answers, tmp_path):
    with pytest.raises(ValueError, match=r"TeacherSparsification changes a teacher whose answers come from files"):
        distil(tiny_task, tmp_path, [TeacherAnswers([str(answers)]), TeacherSparsification(0.5, 0.3)])
    with pytest.raises(ValueError, match="TeacherAnswers: name at least one file"):
        TeacherAnswers([])
