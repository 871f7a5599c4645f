import shutil
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import accuracy_score

from pipeline.report import measuring
from pipeline.report.measuring import SHAPES, _memory, kept_of, measure_models, told_shape
from pipeline.results.measure import count_flops
from pipeline.results.measurements import read_sessions, this_machine
from stark.encoders.layers import kept_units
from stark.forward.latency import Latency
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


@pytest.fixture
def turns(monkeypatch):
    """The models of each measurement of a latency, which are given other numbers each time."""
    found = []

    def measure(models, rows, length):
        found.append(list(models))
        return {name: Latency(len(found) + rows, 1.0, length) for name in models}

    monkeypatch.setattr(measuring, "measure_latency", measure)
    monkeypatch.setattr(measuring, "_memory", lambda *_: 123.0)
    return found


@pytest.fixture
def run(pruned_run, tmp_path):
    """A copy of the run, and a function that measures some of its models."""
    folder = tmp_path / "run"
    shutil.copytree(pruned_run, folder)

    def measure(*folders):
        tensors, _ = read_tensors(folder / "dev_logits.safetensors")
        models = {name: [name] for name in folders}
        return measure_models(folder, models, tensors, tensors["labels"], problem(), ["accuracy"])

    return folder, measure


TEACHER, TRIAL, STUDENT = "finetune/model", "trial/model", "distill/0.5_0.2/model"


def test_models_are_measured_once(run, turns):
    _, measure = run
    first = measure(TEACHER, TRIAL, STUDENT)
    assert turns == [[TEACHER, TRIAL, STUDENT]] * len(SHAPES)
    assert measure(TEACHER, TRIAL, STUDENT) == first
    assert measure(STUDENT, TEACHER) == [first[2], first[0]]  # as a card asks for
    assert len(turns) == len(SHAPES)
    assert {model.measured for model in first} == {read_sessions(run[0])[0].time}


def test_a_set_that_lacks_a_model_is_measured_in_turns_again(run, turns):
    folder, measure = run
    teacher, _ = measure(TEACHER, TRIAL)
    again, *_ = measure(TEACHER, TRIAL, STUDENT)
    assert turns[len(SHAPES) :] == [[TEACHER, TRIAL, STUDENT]] * len(SHAPES)
    assert again.latency != teacher.latency
    (session,) = read_sessions(folder)
    assert set(session.models) == {TEACHER, TRIAL, STUDENT}


def test_a_model_that_was_trained_again_is_measured_again(run, turns):
    folder, measure = run
    measure(TEACHER, TRIAL)
    shutil.rmtree(folder / TRIAL)
    shutil.copytree(folder / "distill/0.5_0.4/model", folder / TRIAL)
    measure(TEACHER, TRIAL)
    assert len(turns) == 2 * len(SHAPES)
    assert len(read_sessions(folder)) == 1


def test_a_run_from_another_machine_is_measured_here(run, turns, monkeypatch):
    folder, measure = run
    with monkeypatch.context() as patched:
        patched.setattr(measuring, "this_machine", lambda: replace(this_machine(), processor="a faster one"))
        there = measure(TEACHER)
    here = measure(TEACHER)
    assert len(turns) == 2 * len(SHAPES)
    assert here[0].latency != there[0].latency
    assert [session.machine.processor for session in read_sessions(folder)] == [
        *("a faster one", this_machine().processor),
    ]
    with monkeypatch.context() as patched:  # both machines keep theirs
        patched.setattr(measuring, "this_machine", lambda: replace(this_machine(), processor="a faster one"))
        assert measure(TEACHER) == there
    assert len(turns) == 2 * len(SHAPES)
