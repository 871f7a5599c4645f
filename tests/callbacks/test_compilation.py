import shutil

import pytest
import torch

from callbacks import Compilation
from stark.encoders.layer_dropping import drop_layers_
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.lightning_modules.test_loss_parameters import Projected
from tests.tasks import fit, make_trainer


@pytest.fixture
def student(tiny_task, tmp_path):
    """A student of one layer, to save time, without dropout."""
    model = drop_layers_(load_classifier(tiny_task.teacher), [0])
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    return save_classifier(model, tmp_path / "student", load_tokenizer(tiny_task.teacher))


@pytest.mark.parametrize(
    "backend",
    [
        # Traces and differentiates as inductor does, but compiles no kernels.
        pytest.param("aot_eager", marks=pytest.mark.slow),
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(shutil.which("g++") is None, reason="its kernels need a C++ compiler"),
            ],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")  # torch itself causes warnings
def test_weights_are_those_without_it_within_rounding(tiny_task, student, tmp_path, monkeypatch, backend):
    if backend != "inductor":
        monkeypatch.setenv("CXX", "true")  # so that this is also tested where there is no compiler
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    calls = []
    original = torch.compile

    def compile_(function, **settings):
        assert "backend" not in settings  # torch's default is inductor
        compiled = original(function, backend=backend, **settings)
        return lambda *a, **k: (calls.append(torch.is_grad_enabled()), compiled(*a, **k))[1]

    monkeypatch.setattr(torch, "compile", compile_)
    weights = []
    for callbacks in ([], [Compilation()]):
        module = tiny_task.distillation(student=student)
        weights.append(
            fit(make_trainer(tmp_path / str(len(callbacks)), callbacks, max_epochs=1), module, tiny_task.data())
        )
        assert module.classifier._compiled_call_impl is None
    assert calls == [True] * 7  # not in validation
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-4)


def test_a_missing_compiler_is_named_before_the_first_step(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C.. compiler, and there is no no-such-compiler: install one"):
        fit(make_trainer(tmp_path, [Compilation()]), tiny_task.finetuning(), tiny_task.data())


def test_a_loss_with_parameters_is_compiled_as_well(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "true")
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: (compiled.append(function.__self__), function)[1])
    for loss, expected in ((None, 1), (WeightedSum([Projected()], [1.0]), 2)):
        compiled.clear()
        module = tiny_task.distillation(loss=loss)
        fit(make_trainer(tmp_path / str(expected), [Compilation()], max_epochs=1), module, tiny_task.data())
        assert compiled == [module.classifier, module.loss][:expected]
        assert all(one._compiled_call_impl is None for one in compiled)
