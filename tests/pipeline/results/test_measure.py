"""Measuring model folders."""

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from lightning_modules import FinetuningModule
from pipeline.commands.run import read_settings
from pipeline.results.measure import evaluate, size
from pipeline.results.summary import Removed
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier


@pytest.fixture
def settings(tiny_task):
    options = f"--data.data_dir {tiny_task.data_dir} --data.cache_dir {tiny_task.cache} --data.task sst2".split()
    return read_settings(["--model_name_or_path", str(tiny_task.encoder), "--student.sparsity", "0.5", *options])[0]


@pytest.mark.parametrize("part", ["selection", "dev"])
def test_metrics_are_those_of_a_plain_loop(part, settings, tiny_task):
    settings.data["task"] = "mrpc"
    model = load_classifier(tiny_task.encoder, label_names=["not_equivalent", "equivalent"])
    folder = save_classifier(model, tiny_task.data_dir.parent / f"mrpc_{part}", load_tokenizer(tiny_task.encoder))
    data = tiny_task.data("mrpc", seed=settings.seed, batch_size=1)
    module = FinetuningModule(str(folder), data.label_names, data.metrics)
    evaluated = evaluate(module, tiny_task.data("mrpc", seed=settings.seed), settings, part)
    batches = list(data.val_dataloader() if part == "selection" else data.test_dataloader())
    with torch.no_grad():
        predicted = [int(classify(model, batch).argmax()) for batch in batches]
    labels = [int(batch["labels"]) for batch in batches]
    rows = [int(batch["idx"]) for batch in batches]
    accuracy, f1 = accuracy_score(labels, predicted), f1_score(labels, predicted, zero_division=0)
    expected = {"accuracy": accuracy, "f1": f1, "score": (accuracy + f1) / 2}
    assert evaluated.values == pytest.approx(expected, abs=1e-6)
    assert evaluated.logits.argmax(-1).tolist() == [value for _, value in sorted(zip(rows, predicted, strict=True))]
    assert evaluated.labels.tolist() == [value for _, value in sorted(zip(rows, labels, strict=True))]


def test_logits_that_are_no_numbers_have_no_score(settings, tiny_task, tmp_path):
    model = load_classifier(tiny_task.teacher)
    model.classifier.weight.data[0] = 3e38  # each weight is finite, but products with the pooled token are not
    folder = save_classifier(model, tmp_path / "broken", load_tokenizer(tiny_task.teacher))
    data = tiny_task.data(seed=settings.seed)
    module = FinetuningModule(str(folder), data.label_names, data.metrics)
    with pytest.raises(ValueError, match=r"broken: its logits are NaN or infinite for \d+ of \d+ rows of the dev part"):
        evaluate(module, data, settings, "dev")


def test_size_counts_what_is_gone(tiny_task, tmp_path):
    model = load_classifier(tiny_task.teacher)
    units = kept_units(model)
    heads = [torch.arange(len(layer)) > 0 for layer in units.heads]  # a head of four in each layer
    neurons = [torch.arange(len(layer)) >= len(layer) // 2 for layer in units.neurons]
    before = sum(parameter.numel() for parameter in model.parameters())
    save_classifier(shrink_(model, UnitMasks(heads, neurons)), tmp_path / "small", load_tokenizer(tiny_task.teacher))
    counted = size(load_classifier(tmp_path / "small"), load_classifier(tiny_task.teacher))
    assert counted.achieved == Removed(heads=0.25, neurons=0.5)
    hidden, layers = 32, 4
    # A head of 8: rows of query, key, value with their biases, and columns of the output; a neuron: row, bias, column.
    lost = layers * (8 * (3 * (hidden + 1) + hidden) + 128 * (2 * hidden + 1))
    assert counted.parameters == before - lost
    assert counted.encoder_parameters == sum(
        parameter.numel() for parameter in load_classifier(tmp_path / "small").base_model.encoder.parameters()
    )
