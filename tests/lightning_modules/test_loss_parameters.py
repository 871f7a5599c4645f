"""A loss with parameters: they are trained, clipped, saved in checkpoints, resumed and rewound with the student."""

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from callbacks import Rewinding
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from tests.docs.pages import files
from tests.tasks import fit, make_trainer

PLUGIN: dict = {}
exec(files("extending.md")["my_losses.py"], PLUGIN)


class Projected(PLUGIN["HiddenStates"]):
    """The page's loss, with initial weights that do not depend on earlier random numbers."""

    def prepare_(self, student, teacher):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().prepare_(student, teacher)


class Watcher(Callback):
    """Records the loss's weights at each start of an epoch, and the norm of each step's gradient."""

    def __init__(self):
        self.weights, self.norms = [], []

    def on_train_epoch_start(self, trainer, module):
        self.weights.append(weights_of(module))

    def on_before_zero_grad(self, trainer, module, optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            self.norms.append(float(nn.utils.get_total_norm(gradients)))


def weights_of(module):
    return {name: tensor.clone() for name, tensor in module.loss.state_dict().items()}


def made(task):
    return task.distillation(loss=WeightedSum([SoftTargets(), Projected()], [1.0, 0.5]))


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_they_are_trained_clipped_and_saved(tiny_task, tmp_path):
    module, watcher = made(tiny_task), Watcher()
    trainer = make_trainer(tmp_path, [watcher], max_epochs=1, gradient_clip_val=0.01)
    fit(trainer, module, tiny_task.data())
    assert module.loss.state_dict().keys() == {"losses.1.project.weight", "losses.1.project.bias"}
    assert not equal(watcher.weights[0], weights_of(module))
    assert watcher.norms
    assert max(watcher.norms) <= 0.01 * 1.001
    checkpoint = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    assert {name for name in checkpoint["state_dict"] if name.startswith("loss.")} == {
        f"loss.{name}" for name in module.loss.state_dict()
    }
    assert "weights=[1.0, 0.5]" in checkpoint["loss"]


def test_a_resumed_fit_has_the_same_bits(tiny_task, tmp_path):
    unbroken, first, resumed = (made(tiny_task) for _ in range(3))
    fit(make_trainer(tmp_path / "unbroken", max_epochs=2), unbroken, tiny_task.data())

    class Stop(Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.save_checkpoint(tmp_path / "stopped.ckpt")
            trainer.should_stop = True

    fit(make_trainer(tmp_path / "first", [Stop()], max_epochs=2), first, tiny_task.data())
    assert not equal(weights_of(first), weights_of(unbroken))
    trainer = make_trainer(tmp_path / "resumed", max_epochs=2)
    fit(trainer, resumed, tiny_task.data(), tmp_path / "stopped.ckpt")
    assert equal(resumed.state_dict(), unbroken.state_dict())


def test_another_loss_is_no_fit_to_go_on_with(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, max_epochs=1)
    fit(trainer, made(tiny_task), tiny_task.data())
    other = tiny_task.distillation(loss=WeightedSum([SoftTargets(), Projected()], [1.0, 0.25]))
    with pytest.raises(ValueError, match=r"model\.loss is "):
        fit(
            make_trainer(tmp_path / "other", max_epochs=1),
            other,
            tiny_task.data(),
            trainer.checkpoint_callback.best_model_path,
        )


def test_they_are_rewound(tiny_task, tmp_path):
    module, watcher = made(tiny_task), Watcher()
    fit(make_trainer(tmp_path, [Rewinding(1), watcher], max_epochs=2), module, tiny_task.data())
    initial, second = watcher.weights
    assert equal(second, initial)
    assert not equal(weights_of(module), initial)
