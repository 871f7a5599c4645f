"""Models with 8 bits: made once, and only for the present models."""

import shutil
from types import SimpleNamespace

import pytest
import torch

from pipeline.deploy.export.check import read_check
from pipeline.report import quantised as module
from pipeline.report.quantised import dev_logits, quantised, why_not_quantised
from pipeline.results.summary import Summary
from pipeline.run_folder import RunFolder
from stark.model_folders.model_folder import model_digest
from stark.storage import read_tensors, write_text


@pytest.fixture
def run(pruned_run, tmp_path):
    return RunFolder(shutil.copytree(pruned_run, tmp_path / "run"))


@pytest.mark.slow
def test_exports_are_made_once_and_again_for_another_model(run, monkeypatch):
    summary = Summary.read(run.root)
    assert quantised(run, summary, make=False) == {}
    made = quantised(run, summary, make=True)
    assert {name: place.name for name, place in made.items()} == {"teacher": "int8/teacher", "student": "int8/student"}
    check = read_check(made["student"].path)
    assert (check.int8, check.source) == (True, model_digest(run.root / summary.best.folder))
    logits, _ = read_tensors(run.dev_logits.path)
    found = dev_logits(run, made["teacher"])
    assert (found.argmax(1) == logits["finetune/model"].argmax(1)).double().mean() > 0.9
    assert (found - logits["finetune/model"]).abs().max() < 1
    with monkeypatch.context() as patched:
        patched.setattr(module, "export_model", lambda *_, **__: pytest.fail("made again"))
        patched.setattr(module, "open_answer", lambda *_: pytest.fail("evaluated again"))
        assert quantised(run, summary, make=True) == made
        assert torch.equal(dev_logits(run, made["teacher"]), found)
    shutil.rmtree(run.dense_teacher.path)
    shutil.copytree(run.trial_student.path, run.dense_teacher.path)
    assert set(quantised(run, summary, make=False)) == {"student"}


def test_an_export_in_its_usual_place_is_used(run, monkeypatch):
    summary, source = Summary.read(run.root), model_digest(run.dense_teacher.path)
    usual = run.finetune / "model-onnx-int8"
    write_text(usual.path / "check.json", "{}")
    monkeypatch.setattr(module, "is_export", lambda path: path == usual.path)
    for known, form, found in ((source, "onnx", {"teacher": usual}), (None, "onnx", {}), (source, "torch", {})):
        check = SimpleNamespace(format=form, int8=True, source=known)
        monkeypatch.setattr(module, "read_check", lambda _, check=check: check)
        assert quantised(run, summary, make=False) == found


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    assert why_not_quantised() == ""
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxruntime" else name)
    assert "needs the extra [onnx] (onnxruntime)" in why_not_quantised()
