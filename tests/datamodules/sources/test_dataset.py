"""Data sets of Hugging Face as own rows: saved ones, folders of files, and the hub's, which is not reached here."""

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from datamodules import open_task
from datamodules.sources.dataset import class_names, dataset_lines, dataset_state, split_names
from datamodules.sources.opening import open_source
from datamodules.tasks.dataset_split import DatasetSplit

TEXTS, NAMES = ["good", "bad", "so, so\nsaid he", "film"], ["yes", "no", "perhaps"]
FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=NAMES), "id": Value("int64")})


def rows(labels=(0, 1, 0, 2), **more):
    columns = {"text": TEXTS[: len(labels)], "label": list(labels), "id": list(range(len(labels)))}
    return Dataset.from_dict(columns | more, features=FEATURES)


def described(folder, text):
    (folder / "my.yaml").write_text(text)
    return open_task(str(folder / "my.yaml"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_saved_data_set(tmp_path):
    DatasetDict(train=rows(), validation=rows([1, 0]), test=rows([-1, -1])).save_to_disk(str(tmp_path / "saved"))
    task = described(tmp_path, "{dataset: saved, train: train, dev: validation, test: test, text: text, label: label}")
    assert task.label_names == tuple(NAMES)  # in the data set's order
    source = open_source(task, None)
    for split, texts, labels in (("train", TEXTS, [0, 1, 0, 2]), ("dev", TEXTS[:2], [1, 0]), ("test", TEXTS[:2], None)):
        found = source.rows(split)
        assert found[:4] == (texts, None, labels, list(range(len(texts))))
        assert found.digest == source.digest(split)
    assert source.digest("train") != source.digest("dev")


def test_rows_are_known_by_their_content_and_not_by_their_place(tmp_path):
    text = "{dataset: %s, train: train, split: {dev: 0.25}, text: text, label: label}"
    for name, saved in (("a", rows()), ("b", rows()), ("c", rows([0, 1, 1, 2]))):
        DatasetDict(train=saved).save_to_disk(str(tmp_path / name))
    digests = [open_source(described(tmp_path, text % name), None).digest("train") for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    assert dataset_state(DatasetSplit(str(tmp_path / "a"), None, "train")) != dataset_state(
        DatasetSplit(str(tmp_path / "c"), None, "train")
    )


def test_a_single_saved_split_is_train(tmp_path):
    rows().save_to_disk(str(tmp_path / "saved"))
    assert split_names(str(tmp_path / "saved")) == ["train"]
    assert class_names(DatasetSplit(str(tmp_path / "saved"), None, "train"), "label") == tuple(NAMES)
    assert class_names(DatasetSplit(str(tmp_path / "saved"), None, "train"), "text") == ()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_of_files(tmp_path, ending):
    folder = tmp_path / "files"
    folder.mkdir()
    for split, own in (("train", rows()), ("test", rows([1, 0]))):
        plain = own.cast_column("label", Value("int64"))
        (plain.to_csv if ending == "csv" else plain.to_parquet)(str(folder / f"{split}.{ending}"))
    assert sorted(split_names(str(folder))) == ["test", "train"]
    task = described(tmp_path, f"{{dataset: {folder}, train: train, dev: test, text: text, label: label}}")
    assert task.label_names == ("0", "1", "2")  # numbers become texts, as in JSON lines
    assert open_source(task, None).rows("dev")[:3] == (TEXTS[:2], None, [1, 0])


def test_lists_of_classes_and_values_that_are_no_text(tmp_path):
    columns = {
        "text": ["a", "b", "c"],
        "labels": [[0, 2], [], [1]],
        "flag": [True, False, None],
        "number": [1.5, float("nan"), 2.0],
    }
    features = Features(
        {
            **{"text": Value("string"), "labels": datasets.List(ClassLabel(names=NAMES))},
            **{"flag": Value("bool"), "number": Value("float64")},
        }
    )
    DatasetDict(train=Dataset.from_dict(columns, features=features)).save_to_disk(str(tmp_path / "saved"))
    with dataset_lines(DatasetSplit(str(tmp_path / "saved"), None, "train")) as lines:
        assert lines.read().decode().splitlines() == [
            '{"text": "a", "labels": ["yes", "perhaps"], "flag": true, "number": 1.5}',
            '{"text": "b", "labels": [], "flag": false, "number": null}',
            '{"text": "c", "labels": ["no"], "flag": null, "number": 2.0}',
        ]
    text = "{dataset: saved, train: train, dev: train, text: text, label: labels, kind: multi_label}"
    task = described(tmp_path, text)
    assert task.label_names == tuple(NAMES)
    assert open_source(task, None).rows("train").labels == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    task = described(tmp_path, "{dataset: saved, train: train, dev: train, text: text, label: flag}")
    assert task.label_names == ("false", "true")
    assert open_source(task, None).rows("train").labels == [1, 0, -100]  # the last one has no label
    task = described(tmp_path, "{dataset: saved, train: train, dev: train, text: number, label: flag}")
    with pytest.raises(ValueError, match=r"saved/train, line 1: number is 1.5, not a text"):
        open_source(task, None).rows("train")


def test_mistakes_are_one_line(tmp_path):
    DatasetDict(train=rows(), all=rows()).save_to_disk(str(tmp_path / "saved"))
    text = "{dataset: %s, train: train, dev: validation, text: text, label: label, labels: [yes, no, perhaps]}"
    with pytest.raises(FileNotFoundError, match=r"saved has no split 'validation', only train, all: name one of these"):
        open_source(described(tmp_path, text % "saved"), None).rows("dev")
    with pytest.raises(
        FileNotFoundError, match=r"someone/none: cannot load someone/none from the hub \(there is no "
    ) as error:
        open_source(described(tmp_path, text % "someone/none"), None).rows("train")
    assert "give a folder with the data set's files instead" in str(error.value)
    assert "\n" not in str(error.value)
