import math

import pytest
import torch

from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier
from tests.tasks import fit, make_trainer


def loss_on_train(module, data):
    module.classifier.eval()
    data.setup("fit")
    with torch.no_grad():
        losses = [module.task_loss(module(batch), batch, "none") for batch in data.scoring_dataloader("train")]
    return torch.cat(losses).mean().item()


@pytest.mark.parametrize("task", ["sst2", "mnli", "stsb"])
def test_finetuning_lowers_the_loss_of_its_task(tiny_task, tmp_path, task):
    module, data = tiny_task.finetuning(task, learning_rate=3e-3), tiny_task.data(task)
    before = loss_on_train(module, data)
    trainer = make_trainer(tmp_path, max_epochs=4)
    fit(trainer, module, data)
    assert loss_on_train(module, data) < before
    logged = trainer.callback_metrics
    assert {f"val/{name}" for name in data.metrics} | {"val/score", "train/loss"} == set(logged)
    assert all(math.isfinite(value) for value in logged.values())


def test_the_loss_is_that_of_the_labels(tiny_task):
    module, data = tiny_task.finetuning(), tiny_task.data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    logits = module(batch)
    expected = -logits.softmax(-1).gather(1, batch["labels"][:, None]).log().mean().item()
    assert module.task_loss(logits, batch).item() == pytest.approx(expected)


def test_an_encoder_gets_a_new_head_and_a_classifier_keeps_its_own(tiny_task):
    torch.manual_seed(0)
    first = tiny_task.finetuning().classifier.classifier.weight
    second = tiny_task.finetuning().classifier.classifier.weight
    assert not torch.equal(first, second)
    kept = tiny_task.finetuning(model=tiny_task.teacher).classifier.classifier.weight
    assert torch.equal(kept, load_classifier(tiny_task.teacher).classifier.weight)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tiny_task, tmp_path):
    weights = []
    for folder in ("first", "second"):
        module = tiny_task.finetuning(model=tiny_task.teacher)
        weights.append(fit(make_trainer(tmp_path / folder, max_epochs=1), module, tiny_task.data()))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_classifier_of_another_task_is_refused(tiny_task):
    with pytest.raises(ValueError, match="has the labels") as error:
        tiny_task.finetuning("mnli", model=tiny_task.teacher)
    assert "\n" not in str(error.value)
    assert str(tiny_task.teacher) in str(error.value)


def test_a_model_that_is_not_there_is_refused_in_one_line(tiny_task, tmp_path):
    with pytest.raises(ValueError, match="there is no such folder") as error:
        tiny_task.finetuning(model=tmp_path / "missing")
    assert "\n" not in str(error.value)


def test_class_weights_change_the_fit_and_must_stay_in_a_resumed_one(tiny_task, tmp_path):
    def train(name, ckpt_path=None, **settings):
        torch.manual_seed(3)
        trainer = make_trainer(tmp_path / name, max_epochs=1)
        return trainer, fit(trainer, tiny_task.finetuning(**settings), tiny_task.data(), ckpt_path)

    def differs(first, second):
        return any(not torch.equal(first[name], second[name]) for name in first)

    _, plain = train("plain")
    _, same = train("same", class_weights=[1.0, 1.0])
    trainer, weighted = train("weighted", class_weights=[1.0, 5.0])
    assert not differs(plain, same)
    assert differs(plain, weighted)
    checkpoint = trainer.checkpoint_callback.best_model_path
    with pytest.raises(StarkError, match=r"class_weights is 'none' but the checkpoint was made with \[1.0, 5.0\]"):
        train("other", checkpoint)


@pytest.mark.parametrize(("task", "weights"), [("sst2", [1.0]), ("stsb", "balanced"), ("stsb", [1.0])])
def test_class_weights_that_fit_no_class(tiny_task, tmp_path, task, weights):
    def train():
        fit(
            make_trainer(tmp_path, max_epochs=1),
            tiny_task.finetuning(task, class_weights=weights),
            tiny_task.data(task),
        )

    with pytest.raises(StarkError, match="class_weights are"):
        train()
