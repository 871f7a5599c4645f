"""Results on a GPU equal those on the CPU within rounding; a resumed fit has the same bits. `pytest -m gpu`."""

import copy
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

import cli
from benchmarks.plain import distil_loss
from callbacks import Compilation, CUDAGraphs, Pruning, Rewinding, TeacherCache, TeacherSparsification
from pipeline.deploy.classifier import answer_of, open_classifier
from pipeline.deploy.serve import Side, said
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers_
from stark.forward.classifying import classify
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.pipeline.runs import options, read
from tests.tasks import CopyAt, differences, fit, make_trainer
from tests.tiny import random_masks, scores_against, tiny_batch, tiny_classifier

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
    """A student of one layer without dropout, because a GPU draws other random numbers."""
    model = drop_layers_(load_classifier(tiny_task.teacher), [0])
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
    # Four steps, because compiling for one layer takes most of the time already.
    settings = {"student": without_dropout, "limit_train_batches": 4}
    expected = distil(tiny_task, tmp_path / "plain", **settings)
    found = distil(tiny_task, tmp_path / "compiled", [Compilation()], **settings)
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


@pytest.mark.parametrize(("precision", "callbacks"), [("32-true", [TeacherCache]), ("bf16-mixed", [])])
def test_steps_as_graphs_have_the_weights_of_ordinary_ones(tiny_task, without_dropout, tmp_path, precision, callbacks):
    settings = {"student": without_dropout, "precision": precision, "max_epochs": 3}
    expected = distil(tiny_task, tmp_path / "plain", [made() for made in callbacks], **settings)
    watched = Watched()
    graphs = [CUDAGraphs(), watched, *(made() for made in callbacks)]
    found = distil(tiny_task, tmp_path / "graphs", graphs, **settings)
    assert watched.recordings > 0
    assert_close(found, expected, **(TOLERANCE if precision == "32-true" else {"rtol": 0, "atol": 1e-2}))


@pytest.mark.parametrize(("graphs", "point"), [([], ("val", 14)), ([CUDAGraphs], ("step", 17))])
def test_a_stopped_fit_resumes_to_the_same_bits(tiny_task, tmp_path, graphs, point):
    def method():
        return [*(made() for made in graphs), Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2)]

    # The whole fit leaves a copy of its folder, as if it had been stopped there.
    folder, copies = tmp_path / "whole", tmp_path / "copies"
    whole = distil(tiny_task, folder, [*method(), CopyAt(folder, copies, [point])], max_epochs=4)
    # Resumed in the same place, which checkpoints name.
    shutil.rmtree(folder)
    (copies / "0").rename(folder)
    resumed = distil(tiny_task, folder, method(), max_epochs=4, ckpt_path=folder / "stopped.ckpt")
    assert differences(resumed, whole) == []


def test_half_precision_differs_by_its_rounding(tiny_task, without_dropout, tmp_path):
    expected, found = (
        distil(tiny_task, tmp_path / precision, student=without_dropout, precision=precision)
        for precision in ("32-true", "bf16-mixed")
    )
    assert differences(found, expected)
    assert_close(found, expected, rtol=0, atol=1e-2)


def test_a_run_with_scaled_gradients(tiny_task, tmp_path):
    short = ("--teacher.sparsities=[0.2]", "--distillation.epochs=1")
    cli.main(options(tiny_task, tmp_path, "--trainer.precision=16-mixed", *short))
    summary = read(tmp_path / "tiny")
    assert summary["models"][-1]["achieved"]["heads"] > 0.5
    assert all(0 <= model["dev"]["score"] <= 1 for model in summary["models"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_that_masks_nothing_changes_nothing(dtype):
    model = nn.Module.to(to_gpu(tiny_classifier()), dtype=dtype)
    inputs = tiny_batch()["input_ids"]
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
    with torch.inference_mode():
        with_mask = classify(model, {name: values.cuda() for name, values in batch.items()})
    torch.testing.assert_close(answer_of(model)(batch), with_mask.cpu(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prune", [False, True])
def test_answers_as_graphs_are_those_of_the_cpu(dtype, prune, caplog):
    model = tiny_classifier()
    if prune:
        shrink_(model, random_masks(model))
    answer = answer_of(nn.Module.to(to_gpu(model), dtype=dtype))
    batches = [tiny_batch(rows, length, seed=rows) for rows, length in ((1, 5), (3, 10), (4, 16), (3, 24))]
    for batch in batches:
        batch["whole"] = {"input_ids": batch["input_ids"].clamp(min=5)}
    for _ in range(5):
        for batch in batches:
            # With a mask and without one, in turns, so that each graph is replayed after the others.
            for inputs in ({name: batch[name] for name in ("input_ids", "attention_mask")}, batch["whole"]):
                with torch.no_grad():
                    expected = classify(model, inputs)
                tolerance = 1e-4 if dtype == torch.float32 else 0.3
                torch.testing.assert_close(answer(inputs), expected, rtol=0, atol=tolerance)
    assert "not replayed" not in caplog.text
    assert answer.recordings == 4


def test_answers_of_two_models_in_threads_are_their_own():
    models = [tiny_classifier(seed=seed) for seed in range(2)]
    answers = [answer_of(to_gpu(model)) for model in models]
    batches = [tiny_batch(seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        found = [[pool.submit(answer, batch) for batch in batches * 10] for answer in answers]
    for model, own in zip(models, found, strict=True):
        for batch, future in zip(batches * 10, own, strict=True):
            with torch.no_grad():
                torch.testing.assert_close(future.result(), classify(model, batch), rtol=0, atol=1e-4)
    assert [answer.recordings for answer in answers] == [1, 1]


def test_training_steps_are_recorded_after_answers(tiny_task, without_dropout, tmp_path):
    """Both record the state of random numbers."""
    answer, watched = answer_of(to_gpu(tiny_classifier())), Watched()
    for _ in range(4):
        answer(tiny_batch())
    distil(tiny_task, tmp_path / "graphs", [CUDAGraphs(), watched], student=without_dropout, max_epochs=2)
    assert (answer.recordings, watched.recordings > 0) == (1, True)
    torch.testing.assert_close(answer(tiny_batch()), answer_of(tiny_classifier())(tiny_batch()), rtol=0, atol=1e-4)


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
