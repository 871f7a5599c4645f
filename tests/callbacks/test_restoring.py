import pytest
import torch

from callbacks import TeacherCache, TeacherRestoring
from lightning_modules import FinetuningModule
from stark.encoders.cutting import shrink_
from stark.forward.classifying import classify
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer
from tests.tiny import lowest_masks, scores_against


@pytest.fixture
def scores(tiny_task, tmp_path):
    """The dense teacher's scores, and their file."""
    data, module = tiny_task.data(), tiny_task.distillation()
    data.prepare_data()
    data.setup("fit")
    found = scores_against(module.teacher, module.student, data.scoring_dataloader("selection"), SoftTargets())
    found.save(tmp_path / "scores.safetensors")
    return found, str(tmp_path / "scores.safetensors")


def distil(task, folder, callbacks, ckpt_path=None, **settings):
    return fit(make_trainer(folder, callbacks, **settings), task.distillation(), task.data(), ckpt_path)


class Told(TeacherCache):
    """Records the teacher's logits at each step."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        told = module.teacher_outputs.logits(batch["idx"])
        self.batches.append((trainer.current_epoch, dict(batch), told))


@pytest.mark.parametrize("cache_first", [True, False])
def test_each_epoch_is_told_by_the_teacher_cut_to_its_sparsity(tiny_task, tmp_path, scores, cache_first):
    found, file = scores
    told, restoring = Told(), TeacherRestoring(file, 0.5, 0.6)
    distil(tiny_task, tmp_path / "a", [told, restoring] if cache_first else [restoring, told], max_epochs=3)
    assert {epoch for epoch, _, _ in told.batches} == {0, 1, 2}
    for epoch, sparsity in enumerate((0.6, 0.3, 0.0)):
        teacher = shrink_(load_classifier(tiny_task.teacher), lowest_masks(found, 0.5, sparsity))
        for number, batch, logits in told.batches:
            if number == epoch:
                with torch.no_grad():
                    torch.testing.assert_close(logits, classify(teacher, batch), rtol=0, atol=1e-5)


def test_a_resumed_fit_has_the_same_bits(tiny_task, tmp_path, scores):
    _, file = scores
    whole = distil(tiny_task, tmp_path / "a", [TeacherRestoring(file, 0.5, 0.6)], max_epochs=3)
    checkpoint = tmp_path / "stopped.ckpt"  # in the middle of the second epoch
    stop = StopAt(checkpoint, ("step", 9))
    with pytest.raises(Stopped):
        distil(tiny_task, tmp_path / "b", [TeacherRestoring(file, 0.5, 0.6), stop], max_epochs=3)
    resumed = distil(tiny_task, tmp_path / "c", [TeacherRestoring(file, 0.5, 0.6)], checkpoint, max_epochs=3)
    assert differences(whole, resumed) == []


def test_what_cannot_be_is_refused(tiny_task, tmp_path, scores):
    with pytest.raises(ValueError, match="lam"):
        TeacherRestoring("scores", 1.5, 0.2)
    with pytest.raises(ValueError, match="sparsity"):
        TeacherRestoring("scores", 0.5, 1.0)
    callback = TeacherRestoring(scores[1], 0.5, 0.2)
    module = FinetuningModule(str(tiny_task.teacher), ["negative", "positive"], ["accuracy"])
    with pytest.raises(TypeError, match="TeacherRestoring needs a DistillationModule, got FinetuningModule"):
        fit(make_trainer(tmp_path, [callback]), module, tiny_task.data())
    with pytest.raises(ValueError, match=r"needs trainer.max_epochs"):
        distil(tiny_task, tmp_path, [callback], max_epochs=-1, max_steps=2)
