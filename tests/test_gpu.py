"""Results on a GPU equal those on the CPU within rounding; a resumed fit has the same bits. `pytest -m gpu`."""

import copy
import json

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

import cli
from benchmarks.plain import distil_loss
from callbacks import Compilation, CUDAGraphs, Pruning, Rewinding, TeacherCache, TeacherSparsification
from pipeline.deploy.classifier import answer_of, open_classifier
from pipeline.deploy.serve import Side, said
from stark.encoders.layer_dropping import drop_layers_
from stark.forward.classifying import classify
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.pipeline.runs import options, read
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer
from tests.tiny import scores_against, tiny_batch, tiny_classifier

pytestmark = [
    pytest.mark.gpu,
    # A fit is resumed in its folder, which has files already.
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

# For weights after some steps: sums are rounded differently, and Adam amplifies rounding where a gradient is small.
TOLERANCE = {"rtol": 0, "atol": 2e-4}


def to_gpu(model):
    return nn.Module.to(copy.deepcopy(model), "cuda")


@pytest.fixture
def without_dropout(tiny_task, tmp_path):
    """A student of two layers without dropout, because a GPU draws other random numbers."""
    model = drop_layers_(load_classifier(tiny_task.teacher), [0, 1])
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(model.config, name, 0.0)
    return save_classifier(model, tmp_path / "without_dropout", load_tokenizer(tiny_task.teacher))


def distil(task, folder, callbacks=(), *, ckpt_path=None, student=None, **settings):
    settings = {"accelerator": "gpu", "max_epochs": 1, **settings}
    weights = fit(
        make_trainer(folder, callbacks, **settings), task.distillation(student=student), task.data(), ckpt_path
    )
    return {name: weight.cpu() for name, weight in weights.items()}


def assert_close(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def test_scores_are_those_of_the_cpu():
    teacher, student = tiny_classifier(seed=1), tiny_classifier(seed=2)
    batches = [tiny_batch(seed=seed) for seed in range(3)]
    on_gpu = [{name: values.cuda() for name, values in batch.items()} for batch in batches]
    expected = scores_against(teacher, student, batches, SoftTargets())
    found = scores_against(to_gpu(teacher), to_gpu(student), on_gpu, SoftTargets())
    for kind in ("heads", "neurons"):
        for loss, layers in getattr(expected, kind).items():
            for own, layer in zip(getattr(found, kind)[loss], layers, strict=True):
                torch.testing.assert_close(own, layer, rtol=1e-3, atol=1e-6)


def test_gradients_are_those_of_the_cpu():
    teacher, student, batch = tiny_classifier(seed=1), tiny_classifier(seed=2), tiny_batch()
    gradients = []
    for device in ("cpu", "cuda"):
        asked, learning = (nn.Module.to(copy.deepcopy(model), device) for model in (teacher, student))
        distil_loss(asked)(learning, {name: values.to(device) for name, values in batch.items()}).backward()
        learned = [(name, weight.grad) for name, weight in learning.named_parameters() if weight.grad is not None]
        gradients.append({name: gradient.cpu() for name, gradient in learned})
    largest = max(gradient.abs().max().item() for gradient in gradients[0].values())
    assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5 * largest)


def test_the_cache_says_what_the_teacher_says(tiny_task, without_dropout, tmp_path):
    expected = distil(tiny_task, tmp_path / "asked", student=without_dropout)
    found = distil(tiny_task, tmp_path / "cached", [TeacherCache()], student=without_dropout)
    assert_close(found, expected, **TOLERANCE)


@pytest.mark.filterwarnings("ignore")  # torch itself causes warnings
def test_compiled_weights_are_those_without_it(tiny_task, without_dropout, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    expected = distil(tiny_task, tmp_path / "plain", student=without_dropout)
    found = distil(tiny_task, tmp_path / "compiled", [Compilation()], student=without_dropout)
    assert_close(found, expected, **TOLERANCE)


class Watched(Callback):
    """Counts recordings, and makes a step fail that waits for the GPU, from the second epoch on."""

    def __init__(self):
        self.recordings = 0

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, module, *_):
        torch.cuda.set_sync_debug_mode("default")
        self.recordings = module.whole_steps.recordings


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("callbacks", [[], [TeacherCache]])
def test_steps_as_graphs_have_the_weights_of_ordinary_ones(tiny_task, without_dropout, tmp_path, precision, callbacks):
    settings = {"student": without_dropout, "precision": precision, "max_epochs": 3}
    expected = distil(tiny_task, tmp_path / "plain", [made() for made in callbacks], **settings)
    watched = Watched()
    graphs = [CUDAGraphs(), watched, *(made() for made in callbacks)]
    found = distil(tiny_task, tmp_path / "graphs", graphs, **settings)
    assert watched.recordings > 0
    assert_close(found, expected, **(TOLERANCE if precision == "32-true" else {"rtol": 0, "atol": 1e-2}))


@pytest.mark.parametrize("point", [("step", 10), ("step", 17)])
def test_a_fit_with_graphs_resumes_to_the_same_bits(tiny_task, tmp_path, point):
    def method():
        return [CUDAGraphs(), Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2)]

    whole = distil(tiny_task, tmp_path / "whole", method(), max_epochs=4)
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        distil(tiny_task, tmp_path / "stopped", [*method(), StopAt(path, point)], max_epochs=4)
    resumed = distil(tiny_task, tmp_path / "stopped", method(), max_epochs=4, ckpt_path=path)
    assert differences(resumed, whole) == []


@pytest.mark.parametrize("point", [("step", 3), ("val", 14), ("step", 17)])
def test_a_fit_stopped_anywhere_resumes_to_the_same_bits(tiny_task, tmp_path, point):
    def method():
        return [Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2)]

    whole = distil(tiny_task, tmp_path / "whole", method(), max_epochs=4)
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        distil(tiny_task, tmp_path / "stopped", [*method(), StopAt(path, point)], max_epochs=4)
    resumed = distil(tiny_task, tmp_path / "stopped", method(), max_epochs=4, ckpt_path=path)
    assert differences(resumed, whole) == []


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_run_in_half_precision(tiny_task, tmp_path, precision, capsys):
    command = options(tiny_task, tmp_path, f"--trainer.precision={precision}", "--teacher.sparsities=[0.0,0.2]")
    cli.main(command)
    summary = read(tmp_path / "tiny")
    assert summary["models"][-1]["achieved"]["heads"] > 0.5
    assert all(0 <= model["dev"]["score"] <= 1 for model in summary["models"])
    before = (tmp_path / "tiny/summary.json").read_bytes()
    cli.main(command)  # runs no stage again
    assert (tmp_path / "tiny/summary.json").read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_that_masks_nothing_changes_nothing(dtype):
    model = nn.Module.to(to_gpu(tiny_classifier()), dtype=dtype)
    inputs = tiny_batch()["input_ids"]
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
    with torch.inference_mode():
        with_mask = classify(model, {name: values.cuda() for name, values in batch.items()})
    torch.testing.assert_close(answer_of(model)(batch), with_mask, rtol=0, atol=tolerance)


def test_texts_are_classified_as_on_the_cpu(tiny_task, tmp_path, monkeypatch):
    texts = ["a good and charming film", "bad", "so so " * 40, "a very good film"]
    source = tmp_path / "my.jsonl"
    source.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    classifier = open_classifier(tiny_task.teacher)
    assert classifier.device == "cuda"
    cli.main(["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(tmp_path / "out.jsonl")])
    [(_, told)] = said([Side("model", tiny_task.teacher, classifier)], texts[0])
    assert "(GPU, " in told
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    expected = open_classifier(tiny_task.teacher)(texts)
    torch.testing.assert_close(classifier(texts), expected, rtol=0, atol=1e-4)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["probability_positive"] for row in rows] == pytest.approx(expected[:, 1].tolist(), abs=1e-4)
