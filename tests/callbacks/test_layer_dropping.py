import pytest
from pytorch_lightning import LightningModule
from torch import nn

from callbacks import LayerDropping
from stark.encoders.layers import encoder_layers
from stark.model_folders.model_folder import load_classifier
from tests.tasks import differences, fit, make_trainer


@pytest.mark.parametrize(("which", "kept"), [("first", [0, 1]), ("last", [2, 3]), ("alternate", [0, 2])])
def test_the_student_starts_with_the_chosen_layers_of_the_teacher(tiny_task, tmp_path, which, kept):
    module, teacher = tiny_task.distillation(), load_classifier(tiny_task.teacher)
    trainer = make_trainer(tmp_path, [LayerDropping(2, which)], max_epochs=1, limit_train_batches=1)
    module.learning_rate = 0.0
    fit(trainer, module, tiny_task.data())
    teacher.bert.encoder.layer = nn.ModuleList(teacher.bert.encoder.layer[number] for number in kept)
    assert differences(module.student.state_dict(), teacher.state_dict()) == []
    assert len(encoder_layers(module.teacher)) == 4


def test_a_foreign_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match="LayerDropping needs a ClassificationModule, got LightningModule"):
        LayerDropping(2).setup(make_trainer(tmp_path), LightningModule(), "fit")


def test_only_a_fit_drops_layers(tiny_task, tmp_path):
    module = tiny_task.distillation()
    make_trainer(tmp_path, [LayerDropping(2)]).validate(module, tiny_task.data(), verbose=False)
    assert len(encoder_layers(module.student)) == 4
