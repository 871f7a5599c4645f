from dataclasses import replace

import pytest
import torch
import transformers

from lightning_modules import load_classifier, save_classifier
from lightning_modules.encoders import shrink_
from pipeline import classifier as module
from pipeline.classifier import answer_of, open_classifier
from pipeline.manifest import Manifest
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

TEXTS = ["a good and charming film", "bad", "so so " * 40, "a very good film"]


@pytest.fixture(scope="module")
def student(tiny_task, tmp_path_factory):
    model = load_classifier(tiny_task.teacher)
    shrink_(model, *random_masks(model))
    return save_classifier(model, tmp_path_factory.mktemp("classifier") / "student")


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_probabilities_are_those_of_transformers_pipeline(student, batch_size):
    classifier = open_classifier(student, max_length=24)
    pipeline = transformers.pipeline("text-classification", model=str(student), device="cpu", top_k=None)
    expected = pipeline(TEXTS, truncation=True, max_length=24)
    found = classifier(TEXTS, batch_size=batch_size)
    for row, entries in zip(found, expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in entries}
        assert row.tolist() == pytest.approx([scores[name] for name in classifier.label_names], abs=1e-5)


def test_pairs_are_told_apart(student):
    classifier = open_classifier(student)
    pairs = classifier(["good", "bad"], ["bad", "good"])
    single = classifier(["good bad", "bad good"])
    assert not torch.allclose(pairs, single)
    assert classifier.max_length == 128


def test_it_is_cut_as_in_its_run(student, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    Manifest(run).write()
    (run / "config.yaml").write_text("data: {task: sst2, max_length: 16, segment_ids: stark}\n")
    folder = save_classifier(load_classifier(student), run / "student")
    classifier = open_classifier(folder)
    assert (classifier.max_length, classifier.segment_ids) == (16, "stark")
    assert open_classifier(folder, max_length=20).max_length == 20
    long = classifier(["so " * 40, "so " * 14])
    assert torch.allclose(long[0], long[1])


def test_scores_of_regression_are_no_probabilities(tiny_task, tmp_path):
    torch.manual_seed(0)
    model = load_classifier(tiny_task.encoder, label_names=["similarity"])
    classifier = open_classifier(save_classifier(model, tmp_path / "scores"))
    assert classifier.is_regression
    found = classifier(["good", "bad"], ["good", "good"])
    assert found.shape == (2, 1)
    assert not torch.allclose(found, torch.ones(2, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mask_that_masks_nothing_is_left_out(monkeypatch, family):
    seen = []
    original = module.classify
    monkeypatch.setattr(module, "classify", lambda model, batch: (seen.append(set(batch)), original(model, batch))[1])
    model, padded = tiny_classifier(family), tiny_batch()
    ones = {**padded, "attention_mask": torch.ones_like(padded["input_ids"])}
    answer = answer_of(model)
    assert not torch.allclose(answer(padded), answer(ones))
    assert ["attention_mask" in names for names in seen] == [True, False]
    with torch.no_grad():
        asked = {name: ones[name] for name in ("input_ids", "attention_mask")}
        torch.testing.assert_close(answer(ones), model(**asked).logits)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_give_no_label(student, value):
    classifier = open_classifier(student)
    damaged = replace(classifier, answer=lambda batch: torch.full_like(classifier.answer(batch), value))
    with pytest.raises(ValueError, match="logits are infinite or not a number"):
        damaged(["a", "b"])
