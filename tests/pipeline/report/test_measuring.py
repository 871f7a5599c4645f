import pytest
import torch
from sklearn.metrics import accuracy_score

from pipeline.report import measuring
from pipeline.report.measuring import SHAPES, _memory, kept_of, measure_models, told_shape
from pipeline.results.measure import count_flops
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from stark.storage import read_tensors
from tests.pipeline.runs import read
from tests.tiny import problem


@pytest.fixture
def measured(pruned_run, quick):
    tensors, _ = read_tensors(pruned_run / "dev_logits.safetensors")
    models = {"teacher": ["finetune/model"], "student": ["trial/model", "distill/0.5_0.2/model"]}
    return measure_models(pruned_run, models, tensors, tensors["labels"], problem(), ["accuracy"]), tensors


def test_numbers_are_those_of_the_summary(pruned_run, measured):
    found, tensors = measured
    summary = {model["folder"]: model for model in read(pruned_run)["models"]}
    for model, folders in zip(found, (["finetune/model"], ["trial/model", "distill/0.5_0.2/model"]), strict=True):
        expected = [summary[folder]["dev"]["score"] for folder in folders]
        assert model.score.value == pytest.approx(sum(expected) / len(expected))
        assert model.score.low < model.score.value < model.score.high
        assert model.parameters == summary[folders[0]]["parameters"]
        assert model.encoder_parameters == summary[folders[0]]["encoder_parameters"]
        assert model.gflops == count_flops(load_classifier(pruned_run / folders[0]), 1, 128) / 1e9
        assert set(model.latency["cpu"]) == set(SHAPES)
        said = tensors[folders[0]].argmax(-1)
        assert summary[folders[0]]["dev"]["accuracy"] == pytest.approx(accuracy_score(tensors["labels"], said))


def test_the_calibration_error_is_that_of_its_definition(measured):
    found, tensors = measured
    confidence, said = tensors["finetune/model"].softmax(-1).double().max(-1)
    right = (said == tensors["labels"]).double()
    bins = (confidence * 15).ceil().long()
    error = sum(
        (bins == number).double().mean() * (confidence[bins == number].mean() - right[bins == number].mean()).abs()
        for number in bins.unique()
    )
    assert found[0].calibration == pytest.approx(float(error), abs=1e-5)


def test_kept_units_are_those_of_the_folders(pruned_run):
    found = kept_of(pruned_run, "finetune/model", {"student": "trial/model", "dense": "finetune/model"})
    units = kept_units(load_classifier(pruned_run / "trial/model"))
    assert [mask.nonzero().flatten().tolist() for mask in found["student"].heads] == [*map(list, units.heads)]
    assert all(bool(mask.all()) for mask in found["dense"].neurons)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(pruned_run):
    before = torch.ones(100_000_000)  # 400 MB in this process
    assert 50 < _memory(pruned_run / "trial/model") < 4000
    assert before.sum() == 1e8


def test_each_device_is_measured(pruned_run, quick, monkeypatch):
    monkeypatch.setattr(measuring, "_devices", lambda: ["cpu", "cpu:0"])
    tensors, _ = read_tensors(pruned_run / "dev_logits.safetensors")
    models = {"teacher": ["finetune/model"], "student": ["trial/model"]}
    for model in measure_models(pruned_run, models, tensors, tensors["labels"], problem(), ["accuracy"]):
        assert list(model.latency) == ["cpu", "cpu:0"]
        assert list(model.latency["cpu"]) == list(SHAPES)
        assert list(model.latency["cpu:0"]) == [*SHAPES, told_shape("cpu:0")]


def test_an_encoder_with_few_positions_is_measured_with_rows_that_it_takes(pruned_run, quick, monkeypatch):
    monkeypatch.setattr(measuring, "most_tokens", lambda _: 48)
    tensors, _ = read_tensors(pruned_run / "dev_logits.safetensors")
    models = {"teacher": ["finetune/model"], "student": ["trial/model"]}
    for model in measure_models(pruned_run, models, tensors, tensors["labels"], problem(), ["accuracy"]):
        assert list(model.latency["cpu"]) == [(1, 32), (1, 48), (8, 48), (32, 48)]
        assert model.tokens == 48
        assert model.gflops == count_flops(load_classifier(pruned_run / model.folder), 1, 48) / 1e9
        assert told_shape("cpu", model.tokens) in model.latency["cpu"]
