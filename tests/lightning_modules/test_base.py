import json
import math

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.plugins import MixedPrecision

from lightning_modules.base import classifier_from_config
from stark.encoders.cutting import shrink_
from stark.forward.classifying import classify
from tests.stark.problems.test_metrics import ORACLES
from tests.tasks import fit, make_trainer
from tests.tiny import random_masks, tiny_batch, tiny_classifier


class Recorder(Callback):
    """Records what each step of a fit really used."""

    def __init__(self):
        self.learning_rates, self.norms_before, self.norms_after = [], [], []

    def on_train_start(self, trainer, module):
        trainer.optimizers[0].register_step_post_hook(lambda *_: self.norms_after.append(gradient_norm(module)))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.learning_rates.append(optimizer.param_groups[0]["lr"])
        self.norms_before.append(gradient_norm(module))


def gradient_norm(module):
    gradients = [parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None]
    return torch.cat(gradients).norm().item()


def linear_schedule(peak, warmup, steps):
    return [peak * (step / warmup if step < warmup else (steps - step) / (steps - warmup)) for step in range(steps)]


@pytest.mark.parametrize("task", ["mrpc", "stsb", "mnli"])
def test_validation_and_test_log_the_metrics_of_the_whole_split_and_their_mean(tiny_task, tmp_path, task):
    module, data = tiny_task.finetuning(task), tiny_task.data(task)
    trainer = make_trainer(tmp_path)
    for prefix, run, loader in (
        ("val", trainer.validate, "val_dataloader"),
        ("test", trainer.test, "test_dataloader"),
    ):
        (logged,) = run(module, data, verbose=False)
        rows = list(getattr(data, loader)())
        with torch.no_grad():
            logits = torch.cat([module(batch) for batch in rows])
        predictions = logits.squeeze(-1) if not data.task.problem.has_classes else logits.argmax(-1)
        labels = torch.cat([batch["labels"] for batch in rows])
        expected = {name: ORACLES[name](labels.numpy(), predictions.numpy()) for name in data.metrics}
        for name, value in expected.items():
            assert logged[f"{prefix}/{name}"] == pytest.approx(value, abs=1e-5)
        assert logged[f"{prefix}/score"] == pytest.approx(sum(expected.values()) / len(expected), abs=1e-5)
        assert len(logged) == len(expected) + 1


def test_the_correlation_of_constant_predictions_counts_as_zero(tiny_task, tmp_path):
    module, data = tiny_task.finetuning("stsb"), tiny_task.data("stsb")
    torch.nn.init.zeros_(module.classifier.classifier.weight)
    (logged,) = make_trainer(tmp_path).validate(module, data, verbose=False)
    assert logged == {"val/pearson": 0, "val/spearmanr": 0, "val/score": 0}


def test_predictions_come_with_their_rows_and_logits(tiny_task, tmp_path):
    module, data = tiny_task.finetuning("mnli"), tiny_task.data("mnli")
    batches = make_trainer(tmp_path).predict(module, data)
    for batch, predicted in zip(data.predict_dataloader(), batches, strict=True):
        assert torch.equal(predicted["idx"], batch["idx"])
        with torch.no_grad():
            assert torch.equal(predicted["logits"], module(batch))
        assert torch.equal(predicted["predictions"], predicted["logits"].argmax(-1))


def test_biases_and_norms_do_not_decay_and_every_parameter_learns_once(tiny_task, tmp_path):
    module = tiny_task.finetuning(weight_decay=0.1)
    module.classifier.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    fit(trainer, module, tiny_task.data())
    decays = {id(p): group["weight_decay"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    learning = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert len(decays) == len(learning) == sum(len(group["params"]) for group in trainer.optimizers[0].param_groups)
    for name, parameter in learning.items():
        assert decays[id(parameter)] == (0 if "bias" in name or "LayerNorm" in name else 0.1), name
    assert {group["eps"] for group in trainer.optimizers[0].param_groups} == {1e-6}


@pytest.mark.parametrize(
    ("settings", "warmup", "steps"),
    [
        ({"max_epochs": 2}, 3, 14),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, 2, 8),
        ({"max_epochs": 3, "max_steps": 10}, 2, 10),
        ({"max_epochs": 2, "limit_train_batches": 3}, 1, 6),
        ({"max_epochs": -1, "max_steps": 9}, 2, 9),
    ],
)
def test_learning_rate_rises_and_falls_over_the_steps_of_the_fit(tiny_task, tmp_path, settings, warmup, steps):
    recorder = Recorder()
    module = tiny_task.finetuning(learning_rate=1e-3, warmup_proportion=0.25)
    fit(make_trainer(tmp_path, [recorder], limit_val_batches=0, **settings), module, tiny_task.data())
    assert recorder.learning_rates == pytest.approx(linear_schedule(1e-3, warmup, steps))


def test_dropout_is_on_in_training_and_off_in_validation(tiny_task, tmp_path):
    seen = {True: set(), False: set()}  # key: whether gradients are computed
    module = tiny_task.finetuning()
    for part in module.classifier.modules():
        part.register_forward_pre_hook(lambda part, _: seen[torch.is_grad_enabled()].add(part.training))
    fit(make_trainer(tmp_path), module, tiny_task.data())
    assert seen == {True: {True}, False: {False}}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_gradients_are_clipped_in_every_precision(tiny_task, tmp_path, precision):
    recorder = Recorder()
    settings = {"precision": precision}
    if precision == "16-mixed":  # given by name, Lightning uses bfloat16 on a CPU, although float16 runs there as well
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        settings = {"plugins": [MixedPrecision("16-mixed", device="cpu", scaler=scaler)]}
    trainer = make_trainer(tmp_path, [recorder], max_epochs=1, gradient_clip_val=0.01, **settings)
    assert trainer.precision == precision
    module = tiny_task.finetuning()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    after = fit(trainer, module, tiny_task.data())
    assert min(recorder.norms_before) > 0.02
    assert recorder.norms_after == pytest.approx([0.01] * 7, rel=1e-3)
    assert trainer.optimizers[0].defaults["fused"] == (precision != "16-mixed")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_float16_by_name_becomes_bfloat16_on_cpu(tmp_path):
    with pytest.warns(UserWarning, match="AMP with fp16 is not supported on CPU"):
        assert make_trainer(tmp_path, precision="16-mixed").precision == "bf16-mixed"


def test_without_a_limit_gradients_are_left_alone(tiny_task, tmp_path):
    recorder = Recorder()
    fit(
        make_trainer(tmp_path, [recorder], max_epochs=1, gradient_clip_val=None),
        tiny_task.finetuning(),
        tiny_task.data(),
    )
    assert recorder.norms_after == recorder.norms_before


def test_clipping_by_value_is_refused(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, gradient_clip_algorithm="value")
    with pytest.raises(ValueError, match=r"trainer\.gradient_clip_algorithm is 'value': only 'norm'"):
        fit(trainer, tiny_task.finetuning(), tiny_task.data())


@pytest.mark.parametrize("proportion", [-0.1, 1.1, math.nan])
def test_a_warmup_that_is_no_fraction_is_refused(tiny_task, proportion):
    with pytest.raises(ValueError, match="give a fraction of the steps"):
        tiny_task.finetuning(warmup_proportion=proportion)


def test_logits_are_at_least_float32():
    model = tiny_classifier()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(**tiny_batch()).logits.dtype == torch.bfloat16
        assert classify(model, tiny_batch()).dtype == torch.float32
    assert classify(model.double(), tiny_batch()).dtype == torch.float64


def test_a_shrunk_classifier_is_rebuilt_from_its_configuration():
    model = tiny_classifier()
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=1))
    again = classifier_from_config(model.config.to_json_string(use_diff=False))
    again.load_state_dict(model.state_dict())
    assert torch.equal(classify(again.eval(), tiny_batch()), classify(model, tiny_batch()))


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_rates_that_are_no_rates_are_refused(tiny_task, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: choose a number of at least 0"):
        tiny_task.finetuning(**{name: value})


def test_a_checkpoint_with_other_labels_is_not_tested(tiny_task):
    """With the same names in another order, each row would get the other label."""
    module = tiny_task.finetuning()
    config = json.loads(module.classifier.config.to_json_string(use_diff=False))
    config["id2label"] = {"0": "positive", "1": "negative"}
    message = r"has the labels \['positive', 'negative'\], the task has \['negative', 'positive'\]: take a checkpoint"
    with pytest.raises(ValueError, match=message):
        module.on_load_checkpoint({"phase": [0, None], "classifier_config": json.dumps(config)})
