"""Scores far from unit scale: a fit is that of the same scores on unit scale, and predicts them on their own scale."""

import random

import pytest
import torch

from datamodules import TextDataModule
from lightning_modules import DistillationModule, FinetuningModule
from stark.forward.scaled_head import ScaledHead
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.scores.expressiveness import Expressiveness
from stark.scores.friendliness import Friendliness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units
from tests.tasks import StopAt, Stopped, fit, make_trainer

FACTOR = 64.0


@pytest.fixture
def own(tiny_task, tmp_path):
    """Make a data module whose scores, of standard deviation 1 and mean 3, are multiplied by a factor."""

    def make(factor):
        draw = random.Random(0)
        folder = tmp_path / f"times_{factor:g}"
        folder.mkdir(exist_ok=True)
        for split, size in (("train", 90), ("dev", 12)):
            rows = []
            for _ in range(size):
                words = draw.choices(["good", "bad", "film", "plot", "fun"], k=6)
                rows.append(f"{' '.join(words)},{factor * (3 + draw.gauss(0, 0.9) + 0.2 * words.count('good'))!r}")
            (folder / f"{split}.csv").write_text("\n".join(["text,score", *rows]))
        (folder / "own.yaml").write_text("{train: train.csv, dev: dev.csv, text: text, label: score, labels: [score]}")
        return TextDataModule(
            str(folder / "own.yaml"), None, str(tiny_task.encoder), batch_size=16, cache_dir=str(tiny_task.cache)
        )

    return make


def finetuned(tiny_task, data, folder, callbacks=(), ckpt_path=None):
    torch.manual_seed(3)
    module = FinetuningModule(str(tiny_task.encoder), ["score"], ["pearson"], learning_rate=1e-3)
    fit(make_trainer(folder, callbacks, max_epochs=2), module, data, ckpt_path)
    return module


@pytest.fixture
def both(tiny_task, own, tmp_path, monkeypatch):
    """Modules that were finetuned on the scores, and on the scores times FACTOR; their fits and data."""
    with monkeypatch.context() as patch:
        patch.setattr("stark.problems.regression._FAR", 1.0)  # the first starts at the mean, too
        first = finetuned(tiny_task, own(1.0), tmp_path / "one")
    return first, finetuned(tiny_task, own(FACTOR), tmp_path / "many")


def scores_of(module, data):
    data.setup("validate")
    module.classifier.eval()
    with torch.no_grad():
        return torch.cat([module(batch) for batch in data.val_dataloader()]).flatten()


def test_predictions_are_those_of_unit_scale_times_the_factor(both, own):
    first, second = both
    expected = scores_of(first, own(1.0))
    assert expected.mean() == pytest.approx(3.1, abs=0.5)
    torch.testing.assert_close(scores_of(second, own(FACTOR)), FACTOR * expected, rtol=1e-4, atol=0)
    assert not any(isinstance(module, ScaledHead) for module in second.classifier.modules())


def test_so_are_a_students(both, own, tmp_path, monkeypatch):
    students = []
    for module, factor in zip(both, (1.0, FACTOR), strict=True):
        teacher = save_classifier(module.classifier, tmp_path / f"teacher_{factor:g}", module.tokenizer)
        with monkeypatch.context() as patch:
            patch.setattr("stark.problems.regression._FAR", 1.0 if factor == 1 else 8.0)
            student = DistillationModule(str(teacher), str(teacher), ["score"], ["pearson"], learning_rate=1e-3)
            fit(make_trainer(tmp_path / f"distil_{factor:g}", max_epochs=1), student, own(factor))
        students.append(scores_of(student, own(factor)))
    torch.testing.assert_close(students[1], FACTOR * students[0], rtol=1e-4, atol=0)


def test_a_resumed_fit_has_the_same_bits(tiny_task, own, tmp_path):
    data = own(FACTOR)
    unbroken = finetuned(tiny_task, data, tmp_path / "unbroken").state_dict()
    with pytest.raises(Stopped):
        finetuned(tiny_task, data, tmp_path / "first", [StopAt(tmp_path / "stopped.ckpt", ("step", 4))])
    resumed = finetuned(tiny_task, data, tmp_path / "second", ckpt_path=tmp_path / "stopped.ckpt").state_dict()
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def test_the_scorer_has_the_same_losses(both, own):
    data = own(FACTOR)
    data.setup("fit")
    problem = both[1].problem.for_train(data.train_labels())
    student = load_classifier(both[1].hparams.model_name_or_path, label_names=["score"])
    batches = list(data.scoring_dataloader("selection"))
    parts = [Expressiveness(), Friendliness()]
    distilled = Distilled(student, SoftTargets())
    plain = score_units(both[1].classifier, batches, parts, distilled)
    found = score_units(both[1].classifier, batches, parts, distilled, problem=problem)
    for name in ("expressiveness", "friendliness"):
        for one, other in zip(plain.heads[name], found.heads[name], strict=True):
            torch.testing.assert_close(other, one / FACTOR**2, rtol=1e-4, atol=0)
