"""The task of a model on a file of rows."""

import csv

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from datamodules import open_task
from datamodules.sources.opening import open_source
from pipeline.deploy.classifier import open_classifier
from pipeline.shrinking.task import write_task
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from tests.own import write_ranking


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
    found = write_task(tiny_task.teacher, str(rows), tmp_path / "made")
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
    found = write_task(tiny_task.teacher, str(rows), tmp_path / "made")
    assert not found.has_labels
    task = open_task(str(found.path))
    source = open_source(task, None)
    classify = open_classifier(tiny_task.teacher)
    for part in ("train", "dev"):
        read = source.rows(part)
        assert read.labels == classify(read.text_a).predictions.tolist()
    again = write_task(tiny_task.teacher, str(rows), tmp_path / "made")  # its own earlier file is replaced
    assert again == found


@pytest.mark.parametrize(("name", "delimiter"), [("rows.csv", ";"), ("rows.csv", "\t"), ("rows.tsv", ";")])
def test_rows_without_labels_may_have_another_delimiter_than_their_ending(tiny_task, tmp_path, texts, name, delimiter):
    with (tmp_path / name).open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "utterance"], *([number, text] for number, (text, _) in enumerate(texts))])
    found = write_task(tiny_task.teacher, str(tmp_path / name), tmp_path / "made", ["utterance"])
    assert not found.has_labels
    source, classify = open_source(open_task(str(found.path)), None), open_classifier(tiny_task.teacher)
    parts = [source.rows(part) for part in ("train", "dev")]
    assert sorted(text for part in parts for text in part.text_a) == sorted(text for text, _ in texts)
    for read in parts:
        assert read.labels == classify(read.text_a).predictions.tolist()


@pytest.mark.parametrize("separator", [None, "|"])
def test_several_labels_a_row(tiny_task, tmp_path, texts, separator):
    model = load_classifier(tiny_task.encoder, label_names=["good", "long"], kind="multi_label")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that texts get different labels
    inputs = ModelInputs(24, "tokenizer", ("text",), "multi_label", True, "several", separator)
    save_classifier(model, tmp_path / "model", load_tokenizer(tiny_task.encoder), inputs)
    rows = written(tmp_path, ["text"], [[text] for text, _ in texts])
    found = write_task(tmp_path / "model", str(rows), tmp_path / "made")
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
    found = write_task(tmp_path / "model", str(labelled), tmp_path / "others")
    assert found.has_labels
    read = open_source(open_task(str(found.path)), None).rows("dev")
    assert read.labels == classify(read.text_a).predictions.tolist()


def test_pairs_that_are_ranked(tiny_task, tmp_path):
    own = write_ranking(tiny_task, tmp_path)
    model = load_classifier(tiny_task.encoder, label_names=["relevance"], kind="ranking")
    inputs = ModelInputs(24, "tokenizer", ("query", "document"), "ranking", True, "several")
    save_classifier(model, tmp_path / "model", load_tokenizer(tiny_task.encoder), inputs)
    found = write_task(tmp_path / "model", str(tmp_path / "train.csv"), tmp_path / "made")
    task = open_task(str(found.path))
    assert (task.kind, task.texts, task.label, task.label_names) == (
        *("ranking", ("query", "document"), "relevance"),
        ("relevance",),
    )
    parts = [open_source(task, None).rows(part) for part in ("train", "dev")]
    assert not set(parts[0].text_a) & set(parts[1].text_a)  # no query is divided
    every = open_source(open_task(str(own)), None).rows("train")
    assert sorted(zip(every.text_a, every.text_b, strict=True)) == sorted(
        pair for part in parts for pair in zip(part.text_a, part.text_b, strict=True)
    )
    rows = written(tmp_path, ["query", "document"], [["a", "b"]], "unlabelled.csv")
    with pytest.raises(StarkError, match=r"unlabelled.csv needs the relevance of each row for its query: name its"):
        write_task(tmp_path / "model", str(rows), tmp_path / "others")


def test_a_data_set(tiny_task, tmp_path, texts, capsys):
    names = ["negative", "positive"]
    features = Features({"body": Value("string"), "y": ClassLabel(names=names)})
    rows = Dataset.from_dict({"body": [text for text, _ in texts], "y": [int(label) for _, label in texts]}, features)
    folder = tmp_path / "data/films"
    DatasetDict(train=rows, validation=rows.select(range(9))).save_to_disk(str(folder))
    found = write_task(tiny_task.teacher, str(folder), tmp_path / "made", ["body"])
    assert found.has_labels
    assert "label: y" in capsys.readouterr().err
    source = open_source(open_task(str(found.path)), None)
    for part, number in (("train", len(texts)), ("dev", 9)):
        read = source.rows(part)
        expected = [(text, int(label)) for text, label in texts[:number]]
        assert list(zip(read.text_a, read.labels, strict=True)) == expected
    bare = tmp_path / "data/bare"
    rows.remove_columns("y").save_to_disk(str(bare))
    found = write_task(tiny_task.teacher, str(bare), tmp_path / "made")
    assert not found.has_labels
    source, classify = open_source(open_task(str(found.path)), None), open_classifier(tiny_task.teacher)
    parts = [source.rows(part) for part in ("train", "dev")]
    assert sorted(text for part in parts for text in part.text_a) == sorted(text for text, _ in texts)
    for read in parts:
        assert read.labels == classify(read.text_a).predictions.tolist()
