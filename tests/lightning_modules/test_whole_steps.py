"""Whole steps, recorded as functions in the place of CUDA graphs; tests/test_gpu.py has those."""

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import CUDAGraphs, FiniteLoss, Pruning, Rewinding, TeacherCache, TeacherSparsification
from callbacks.finite_loss import NonFiniteLossError
from stark.forward.lean_training import UsedRows
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.stark.forward.test_replaying import Remember
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    """Let the callback record steps of a fit on the CPU."""
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")


@pytest.fixture
def still(tiny_task, tmp_path):
    """The teacher without dropout, because padding changes the random numbers."""
    model = load_classifier(tiny_task.teacher)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(model.config, name, 0.0)
    return save_classifier(model, tmp_path / "still", load_tokenizer(tiny_task.teacher))


class Recordings(Callback):
    """Keeps the number of recordings at the end of each epoch."""

    def __init__(self):
        self.numbers = []

    def on_train_epoch_end(self, trainer, module):
        self.numbers.append(module.whole_steps.recordings)


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(
            found[name], weight, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


FITS = {
    "finetuning": (lambda: [], {}),
    "accumulated": (lambda: [], {"accumulate_grad_batches": 3}),
    "unclipped": (lambda: [], {"gradient_clip_val": None}),
    "bfloat16": (lambda: [], {"precision": "bf16-mixed"}),
    "asked": (lambda: [], {}),
    "cached": (lambda: [TeacherCache()], {}),
    "rewound": (lambda: [Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2)], {"max_epochs": 4}),
}


@pytest.mark.parametrize("kind", list(FITS))
def test_weights_are_those_of_ordinary_steps(tiny_task, still, tmp_path, kind):
    made, settings = FITS[kind]
    found = []
    recordings = Recordings()
    for name, graphs in (("plain", []), ("graphs", [CUDAGraphs(), recordings])):
        torch.manual_seed(0)
        if kind in ("asked", "cached", "rewound"):
            module = tiny_task.distillation(student=still, learning_rate=1e-4)
        else:
            module = tiny_task.finetuning(model=still, learning_rate=1e-4)
        trainer = make_trainer(tmp_path / kind / name, [*made(), *graphs], **{"max_epochs": 3, **settings})
        found.append((fit(trainer, module, tiny_task.data()), trainer.global_step, trainer.callback_metrics))
        assert module.whole_steps is None
        assert not isinstance(module.classifier.get_input_embeddings(), UsedRows)
    (plain, steps, metrics), (whole, same_steps, same_metrics) = found
    assert_close(whole, plain, 2e-3 if kind == "bfloat16" else 2e-5)
    assert float(same_metrics["train/loss"]) == pytest.approx(float(metrics["train/loss"]), rel=1e-2)
    assert steps == same_steps
    assert recordings.numbers[1] > recordings.numbers[0] > 0
    # After rewinding the optimizer is another one, whose steps are recorded anew.
    assert recordings.numbers[2] == recordings.numbers[0] if kind == "rewound" else recordings.numbers[2] > 1


@pytest.mark.parametrize(
    ("accumulate", "point"),
    [
        *(pytest.param(1, point, marks=pytest.mark.slow) for point in (("step", 5), ("batch", 9))),
        (1, ("val", 14)),
        (2, ("batch", 9)),
        pytest.param(2, ("val", 8), marks=pytest.mark.slow),
    ],
)
def test_a_resumed_fit_has_the_same_bits(tiny_task, tmp_path, accumulate, point):
    def train(name, callbacks=(), ckpt_path=None):
        torch.manual_seed(0)
        trainer = make_trainer(
            tmp_path / name, [CUDAGraphs(), *callbacks], max_epochs=4, accumulate_grad_batches=accumulate
        )
        return fit(trainer, tiny_task.distillation(), tiny_task.data(), ckpt_path)

    whole = train("whole")
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        train("stopped", [StopAt(path, point)])
    assert differences(train("resumed", ckpt_path=path), whole) == []


def test_a_loss_that_is_not_finite_ends_the_fit(tiny_task, tmp_path):
    module = tiny_task.finetuning()
    with torch.no_grad():
        module.classifier.classifier.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="the loss became NaN"):
        fit(make_trainer(tmp_path, [CUDAGraphs(), FiniteLoss(3)]), module, tiny_task.data())


def test_a_step_that_waits_is_not_recorded_and_that_is_told(tiny_task, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", lambda: Remember("it waits for the GPU"))
    recordings = Recordings()
    fit(make_trainer(tmp_path, [CUDAGraphs(), recordings], max_epochs=3), tiny_task.finetuning(), tiny_task.data())
    assert recordings.numbers == [0, 0, 0]
    assert caplog.text.count("the steps of this fit are not recorded: it waits for the GPU") == 1
