"""The task of a model on a file of rows."""

import csv

import pytest
import torch

from datamodules import open_task
from datamodules.sources.opening import open_source
from pipeline.deploy.classifier import open_classifier
from pipeline.shrinking.task import write_task
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs


@pytest.fixture
def texts(tiny_task):
    lines = (tiny_task.data_dir / "SST-2/dev.tsv").read_text().splitlines()[1:]
    return [line.split("\t") for line in lines]


def written(tmp_path, header, rows, name="rows.csv"):
    with (tmp_path / name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return tmp_path / name


def test_rows_with_labels_are_described(tiny_task, tmp_path, texts):
    rows = written(tmp_path, ["sentence", "stars"], texts)
    found = write_task(tiny_task.teacher, rows, tmp_path / "made")
    task = open_task(str(found.path))
    assert found.has_labels
    assert (task.texts, task.label, task.codes) == (("sentence",), "stars", ("0", "1"))
    parts = [open_source(task, None).rows(part) for part in ("train", "dev")]
    assert sorted(text for part in parts for text in part.text_a) == sorted(text for text, _ in texts)
    assert len(parts[1].text_a) == pytest.approx(0.2 * len(texts), abs=2)
    for part in parts:
        assert dict(zip(part.text_a, map(str, part.labels), strict=True)).items() <= dict(texts).items()


def test_rows_without_labels_get_the_models_predictions(tiny_task, tmp_path, texts):
    rows = written(tmp_path, ["utterance"], [[text] for text, _ in texts], "more.tsv.csv")
    found = write_task(tiny_task.teacher, rows, tmp_path / "made")
    assert not found.has_labels
    task = open_task(str(found.path))
    source = open_source(task, None)
    classify = open_classifier(tiny_task.teacher)
    for part in ("train", "dev"):
        read = source.rows(part)
        assert read.labels == classify(read.text_a).predictions.tolist()
    again = write_task(tiny_task.teacher, rows, tmp_path / "made")  # its own earlier file is replaced
    assert again == found


@pytest.mark.parametrize("separator", [None, "|"])
def test_several_labels_a_row(tiny_task, tmp_path, texts, separator):
    model = load_classifier(tiny_task.encoder, label_names=["good", "long"], kind="multi_label")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that texts get different labels
    inputs = ModelInputs(24, "tokenizer", ("text",), "multi_label", True, "several", separator)
    save_classifier(model, tmp_path / "model", load_tokenizer(tiny_task.encoder), inputs)
    rows = written(tmp_path, ["text"], [[text] for text, _ in texts])
    found = write_task(tmp_path / "model", rows, tmp_path / "made")
    assert not found.has_labels
    task = open_task(str(found.path))
    assert (task.kind, task.separator) == ("multi_label", separator)
    classify = open_classifier(tmp_path / "model")
    for part in ("train", "dev"):
        read = open_source(task, None).rows(part)
        assert read.labels == classify(read.text_a).predictions.tolist()
    marks = classify([text for text, _ in texts]).predictions.tolist()
    labelled = written(
        tmp_path,
        ["text", "long", "good"],
        [[text, long, good] for (text, _), (good, long) in zip(texts, marks, strict=True)],
    )
    found = write_task(tmp_path / "model", labelled, tmp_path / "others")
    assert found.has_labels
    read = open_source(open_task(str(found.path)), None).rows("dev")
    assert read.labels == classify(read.text_a).predictions.tolist()
