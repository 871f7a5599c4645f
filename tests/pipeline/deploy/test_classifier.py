from dataclasses import replace

import pytest
import torch
import transformers

from pipeline.deploy import classifier as module
from pipeline.deploy.classifier import answer_of, open_classifier
from pipeline.execution.manifest import Manifest
from stark.encoders.cutting import shrink_
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.table import problem_for
from tests.stark.forward.test_replaying import Remember
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

TEXTS = ["a good and charming film", "bad", "so so " * 40, "a very good film"]


@pytest.fixture(scope="module")
def student(tiny_task, tmp_path_factory):
    model = load_classifier(tiny_task.teacher)
    shrink_(model, random_masks(model))
    return save_classifier(model, tmp_path_factory.mktemp("classifier") / "student")


@pytest.fixture
def replayed(monkeypatch):
    """Let models on the CPU be replayed as on a GPU, with functions in the place of CUDA graphs."""
    monkeypatch.setattr(module, "_REPLAYED_ON", "cpu")
    monkeypatch.setattr(module, "CUDAGraphs", lambda device: Remember())


def test_a_model_on_a_gpu_is_replayed_with_the_same_probabilities(student, replayed):
    classifier = open_classifier(student, max_length=24)
    pipeline = transformers.pipeline("text-classification", model=str(student), device="cpu", top_k=None)
    expected = pipeline(TEXTS, truncation=True, max_length=24)
    for batch_size in (4, 1, 4, 4, 4):
        found = classifier(TEXTS, batch_size=batch_size).probabilities
        for row, entries in zip(found, expected, strict=True):
            scores = {entry["label"]: entry["score"] for entry in entries}
            assert row.tolist() == pytest.approx([scores[name] for name in classifier.label_names], abs=1e-5)
    assert classifier.answer.recordings > 0


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_probabilities_are_those_of_transformers_pipeline(student, batch_size):
    classifier = open_classifier(student, max_length=24)
    pipeline = transformers.pipeline("text-classification", model=str(student), device="cpu", top_k=None)
    expected = pipeline(TEXTS, truncation=True, max_length=24)
    found = classifier(TEXTS, batch_size=batch_size).probabilities
    for row, entries in zip(found, expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in entries}
        assert row.tolist() == pytest.approx([scores[name] for name in classifier.label_names], abs=1e-5)


def test_pairs_are_told_apart(student):
    classifier = open_classifier(student)
    pairs = classifier(["good", "bad"], ["bad", "good"]).probabilities
    single = classifier(["good bad", "bad good"]).probabilities
    assert not torch.allclose(pairs, single)
    assert classifier.max_length == 128


INPUTS = ModelInputs(16, "stark", ("sentence",), "classification", True, "sst2")


def test_it_is_cut_as_it_was_trained_wherever_it_lies(student, tmp_path):
    """The model folder's settings are used, not those of the run into which it was copied."""
    folder = save_classifier(load_classifier(student), tmp_path / "run/copied", load_tokenizer(student), INPUTS)
    (tmp_path / "run/manifest.json").write_text("{}")
    (tmp_path / "run/config.yaml").write_text("data: {task: mrpc, max_length: 99, segment_ids: tokenizer}\n")
    classifier = open_classifier(folder)
    assert (classifier.max_length, classifier.segment_ids) == (16, "stark")
    assert torch.equal(*classifier(["so " * 14, "so " * 40]).probabilities)
    assert open_classifier(folder, max_length=20).max_length == 20
    # transformers truncates at the same length with truncation=True alone.
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
    asked = [{entry["label"]: entry["score"] for entry in entries} for entries in pipeline(TEXTS, truncation=True)]
    expected = [[scores[name] for name in classifier.label_names] for scores in asked]
    assert torch.allclose(classifier(TEXTS).probabilities, torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize(("said", "expected"), [(24, 24), (512, 128), (int(1e30), 128)])
def test_of_others_models_tokenizer_and_encoder_tell_the_length(student, tmp_path, said, expected):
    tokenizer = load_tokenizer(student)
    tokenizer.model_max_length = said
    assert open_classifier(save_classifier(load_classifier(student), tmp_path / "x", tokenizer)).max_length == expected


@pytest.mark.parametrize("length", [0, 1, -5, 129, 600])
def test_lengths_that_cannot_be_are_refused(student, length):
    message = f"^max_length is {length} but (must be at least 4|.* has positions for 128 tokens: give --max_length 128)"
    with pytest.raises(ValueError, match=message):
        open_classifier(student, max_length=length)


def test_a_tokenizer_that_reads_otherwise_than_in_training_is_refused(student, tmp_path):
    inputs = replace(INPUTS, lowercase=False)
    folder = save_classifier(load_classifier(student), tmp_path / "x", load_tokenizer(student), inputs)
    message = "turns texts into lower case, that of its training keeps the case of texts: restore its files"
    with pytest.raises(ValueError, match=message):
        open_classifier(folder)


def test_a_model_of_an_earlier_version_is_cut_as_in_its_run(student, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    Manifest(run).write()
    (run / "config.yaml").write_text("data: {task: sst2, max_length: 16, segment_ids: stark}\n")
    folder = save_classifier(load_classifier(student), run / "student")
    classifier = open_classifier(folder)
    assert (classifier.max_length, classifier.segment_ids) == (16, "stark")
    assert open_classifier(folder, max_length=20).max_length == 20
    long = classifier(["so " * 40, "so " * 14]).probabilities
    assert torch.allclose(long[0], long[1])


def test_scores_of_regression_are_no_probabilities(tiny_task, tmp_path):
    torch.manual_seed(0)
    model = load_classifier(tiny_task.encoder, label_names=["similarity"])
    classifier = open_classifier(save_classifier(model, tmp_path / "scores"))
    assert not classifier.problem.has_classes
    found = classifier(["good", "bad"], ["good", "good"]).probabilities
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


def windows_of(tokenizer, text, max_length, first=None):
    """The inputs of each window, by slices of the text's tokens."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    before = [] if first is None else [*tokenizer(first, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    free = max_length - 2 - (first is not None)
    size, overlap = max_length - 2 - len(before), free // 4
    starts = [0]
    while starts[-1] + size < len(ids):
        starts.append(starts[-1] + size - overlap)
    for start in starts:
        window = ids[start : start + size]
        tokens = [tokenizer.cls_token_id, *before, *window, tokenizer.sep_token_id]
        segments = [0] * (len(before) + 1 if first is not None else len(tokens))
        yield {
            "input_ids": torch.tensor([tokens]),
            "token_type_ids": torch.tensor([segments + [1] * (len(tokens) - len(segments))]),
        }


@pytest.mark.parametrize("kind", ["classification", "multi_label", "regression"])
def test_a_long_row_is_the_mean_of_its_windows(tiny_task, tmp_path, kind):
    names = ["score"] if kind == "regression" else ["negative", "positive"]
    problem = problem_for(names, kind)
    folder = save_classifier(
        load_classifier(tiny_task.encoder, label_names=names, kind=kind),
        tmp_path / kind,
        load_tokenizer(tiny_task.encoder),
    )
    classifier, plain = open_classifier(folder, 12, windows=True), open_classifier(folder, 12)
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    texts = [*TEXTS, "a film of charm that is bad " * 9]
    for pairs in (None, ["so so", "a " * 30, "bad film", "good", "so"]):
        own, others = (texts, None) if pairs is None else (pairs, texts)
        found, short = classifier(own, others, batch_size=2), plain(own, others, batch_size=2)
        windows = {}
        for row, text in enumerate(texts):
            is_cut = pairs is not None and row == 1  # its first text is too long itself
            asked = [] if is_cut else list(windows_of(tokenizer, text, 12, None if pairs is None else pairs[row]))
            if len(asked) < 2:
                assert torch.equal(found.probabilities[row], short.probabilities[row])
                assert torch.equal(found.predictions[row], short.predictions[row])
                continue
            with torch.no_grad():
                logits = torch.cat([model(**inputs).logits for inputs in asked])
            wanted = problem.probabilities(logits).mean(0)
            windows[row] = len(asked)
            assert torch.allclose(found.probabilities[row], wanted, atol=1e-6)
            assert torch.allclose(
                found.predictions[row].float(), problem.predictions(problem.logits_of(wanted[None]))[0].float()
            )
        assert 2 in windows
        assert (found.in_windows, found.windows) == (len(windows), sum(windows.values()))
        assert found.truncation.cut == (pairs is not None)
        assert short.truncation.cut == len(windows) + (pairs is not None)
        assert short.in_windows == 0


def test_pairs_with_the_released_codes_segments_have_no_windows(student):
    classifier = replace(open_classifier(student, 12, windows=True), segment_ids="stark")
    assert len(classifier(TEXTS).predictions) == 4
    with pytest.raises(ValueError, match="there are no windows of pairs with segment_ids 'stark'"):
        classifier(TEXTS, TEXTS)
