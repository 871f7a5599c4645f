import pytest
from pytorch_lightning import LightningModule

from callbacks import LayerDropping, Pruning, SaveModelFolder
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.model_folders.model_inputs import ModelInputs
from tests.tasks import Scored, best_weights, differences, fit, make_trainer


@pytest.mark.usefixtures("unscored")
@pytest.mark.parametrize("shaping", [[], [Pruning(0.5)], [LayerDropping(2)]], ids=["dense", "pruned", "dropped"])
def test_the_folder_holds_the_best_weights_and_not_the_last(tiny_task, tmp_path, shaping):
    scored = Scored(0.1, 0.9, 0.2)
    trainer = make_trainer(tmp_path, [*shaping, SaveModelFolder(), scored], max_epochs=3)
    module = tiny_task.distillation()
    fit(trainer, module, tiny_task.data())
    saved = load_classifier(tmp_path / "model", label_names=module.label_names, new_head=False)
    weights = {f"classifier.{name}": tensor for name, tensor in saved.state_dict().items()}
    assert differences(weights, best_weights(trainer)) == []
    assert trainer.checkpoint_callback.best_model_score == pytest.approx(0.9)
    assert differences(weights, scored.weights[-1]) != []
    assert kept_units(saved) == kept_units(module.student)
    assert load_tokenizer(tmp_path / "model").get_vocab() == module.tokenizer.get_vocab()
    expected = ModelInputs(128, "tokenizer", ("sentence",), "classification", True, "sst2")
    assert ModelInputs.read(saved.config) == expected


def test_without_a_best_checkpoint_the_present_weights_are_saved(tiny_task, tmp_path):
    module = tiny_task.finetuning()
    settings = {"monitor": None, "enable_checkpointing": False, "max_epochs": 1}
    data = tiny_task.data(max_length=40, segment_ids="stark")
    weights = fit(make_trainer(tmp_path, [SaveModelFolder()], **settings), module, data)
    model = load_classifier(tmp_path / "model")
    saved, inputs = model.state_dict(), ModelInputs.read(model.config)
    assert (inputs.max_length, inputs.segment_ids) == (40, "stark")
    assert load_tokenizer(tmp_path / "model").model_max_length == 40
    assert differences({f"classifier.{name}": tensor for name, tensor in saved.items()}, weights) == []


def test_a_fast_run_saves_nothing(tiny_task, tmp_path):
    fit(make_trainer(tmp_path, [SaveModelFolder()], fast_dev_run=True), tiny_task.finetuning(), tiny_task.data())
    assert not (tmp_path / "model").exists()


def test_a_foreign_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match="SaveModelFolder needs a ClassificationModule, got LightningModule"):
        SaveModelFolder().on_fit_end(make_trainer(tmp_path), LightningModule())


def test_a_folder_of_somebody_else_is_found_before_the_training(tiny_task, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("theirs")
    with pytest.raises(ValueError, match="model exists and is not a model folder that this project wrote"):
        fit(make_trainer(tmp_path, [SaveModelFolder()]), tiny_task.finetuning(), tiny_task.data())
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]
    assert not (tmp_path / "checkpoints").exists()
