"""When whole steps are recorded; tests/lightning_modules/test_whole_steps.py has the steps."""

import copy

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import Compilation, CUDAGraphs
from stark.telling import warn_once
from tests.stark.forward.test_replaying import Remember
from tests.tasks import differences, fit, make_trainer


@pytest.fixture(autouse=True)
def untold():
    """Forget what other tests were told."""
    warn_once.cache_clear()


@pytest.fixture
def on_cpu(monkeypatch):
    """Let the callback record steps of a fit on the CPU."""
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")


class Gradients(Callback):
    def on_after_backward(self, trainer, module):
        assert any(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize(
    ("callback", "reason"), [(Gradients, "Gradients has on_after_backward"), (Compilation, "the model is compiled")]
)
def test_what_no_recording_can_do_is_told(tiny_task, tmp_path, on_cpu, monkeypatch, caplog, callback, reason):
    monkeypatch.setattr(Compilation, "on_fit_start", lambda *_: None)
    module = tiny_task.finetuning()
    fit(make_trainer(tmp_path, [CUDAGraphs(), callback()], max_epochs=1), module, tiny_task.data())
    assert f"training without CUDA graphs: {reason}" in caplog.text


def test_without_a_gpu_the_fit_is_the_ordinary_one(tiny_task, tmp_path, caplog):
    torch.manual_seed(0)
    module = tiny_task.finetuning()
    same = copy.deepcopy(module)
    expected = fit(make_trainer(tmp_path / "plain", max_epochs=1), module, tiny_task.data())
    found = fit(make_trainer(tmp_path / "graphs", [CUDAGraphs()], max_epochs=1), same, tiny_task.data())
    assert differences(found, expected) == []
    assert "training without CUDA graphs: the device is cpu" in caplog.text


class Clipped(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        assert module.whole_steps is not None


def test_callbacks_outside_of_steps_do_not_matter(tiny_task, tmp_path, on_cpu, caplog):
    fit(make_trainer(tmp_path, [CUDAGraphs(), Clipped()], max_epochs=1), tiny_task.finetuning(), tiny_task.data())
    assert "without CUDA graphs" not in caplog.text
