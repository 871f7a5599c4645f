"""The hub's data set, and folders that contain it."""

import datasets
import pytest

from datamodules.sources import hub as sources
from datamodules.sources.hub import HubSource, SavedSource
from datamodules.sources.opening import open_source
from datamodules.tasks.glue import find_task

RTE = {
    "sentence1": ["a cat .", "a dog ."],
    "sentence2": ["cat .", "no ."],
    "label": [0, 1],
    "idx": [0, 1],
}

FEATURES = datasets.Features(
    {
        "sentence1": datasets.Value("string"),
        "sentence2": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["entailment", "not_entailment"]),
        "idx": datasets.Value("int32"),
    }
)


def glue(**changes):
    return datasets.Dataset.from_dict(RTE | changes, features=FEATURES)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A local folder laid out like the hub's repository."""
    folder = tmp_path / "glue"
    (folder / "rte").mkdir(parents=True)
    for split, rows in (("train", glue()), ("validation", glue()), ("test", glue(label=[-1, -1], idx=[1, 0]))):
        rows.to_parquet(folder / "rte" / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: rte\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: rte/{s}-*\n" for s in ("train", "validation", "test"))
        + "---\n"
    )
    monkeypatch.setattr(sources, "GLUE_HUB_ID", str(folder))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return folder


def test_hub(hub):
    source = open_source(find_task("rte"), None)
    assert isinstance(source, HubSource)
    assert source.rows("train")[:4] == (RTE["sentence1"], RTE["sentence2"], [0, 1], [0, 1])
    assert source.rows("train").digest == source.digest("train")
    assert source.rows("test")[:4] == (RTE["sentence1"], RTE["sentence2"], None, [1, 0])
    assert source.digest("train") == source.digest("train")
    assert source.digest("train") != source.digest("dev")


def test_hub_failure_is_one_line(hub):
    with pytest.raises(FileNotFoundError, match="cannot load train of mrpc from this folder: BuilderConfig") as error:
        open_source(find_task("mrpc"), None).rows("train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("inside", [False, True])
def test_saved_folder(tmp_path, inside):
    folder = tmp_path / "RTE" if inside else tmp_path
    datasets.DatasetDict(train=glue(), validation=glue()).save_to_disk(str(folder))
    source = open_source(find_task("rte"), str(tmp_path))
    assert isinstance(source, SavedSource)
    assert source.rows("dev").labels == [0, 1]
    assert source.rows("dev").digest == source.digest("dev")
    with pytest.raises(FileNotFoundError, match=r"/test: no such folder \(the test split of task 'rte'\)"):
        source.rows("test")
    with pytest.raises(FileNotFoundError, match="task 'ax' has no train split"):
        SavedSource(find_task("ax"), folder).rows("train")


def test_a_saved_folder_that_changes_while_it_is_read(tmp_path, monkeypatch):
    datasets.DatasetDict(train=glue()).save_to_disk(str(tmp_path / "data"))
    source, original = SavedSource(find_task("rte"), tmp_path / "data"), sources._hub_rows

    def changing(*args):
        (tmp_path / "data/train/dataset_info.json").write_text("{}")
        return original(*args)

    monkeypatch.setattr(sources, "_hub_rows", changing)
    with pytest.raises(ValueError, match="data/train changed while it was read: give the same command again"):
        source.rows("train")


def test_saved_folder_with_bad_rows(tmp_path):
    def rows(dataset, name="rte"):
        datasets.DatasetDict(train=dataset).save_to_disk(str(tmp_path))
        return open_source(find_task(name), str(tmp_path)).rows("train")

    with pytest.raises(ValueError, match=r"train, row 1: label -1 is not one of 0 to 1 \(entailment, not_entailment\)"):
        rows(glue(label=[0, -1]))
    with pytest.raises(ValueError, match=r"train: labels are entailment, not_entailment, wnli needs not_entailment"):
        rows(glue(), "wnli")
    with pytest.raises(ValueError, match="train, row 1: sentence2 is None, not a text"):
        rows(glue(sentence2=["x", None]))
    with pytest.raises(ValueError, match="train: no column 'question', qnli needs question, sentence, label"):
        rows(glue(), "qnli")


def test_empty_split():
    with pytest.raises(ValueError, match=r"^here, train: no rows in it$"):
        sources._hub_rows(glue().select([]), find_task("rte"), "train", "here")


def test_a_saved_data_set_is_known_by_its_content_and_damage_is_named(tmp_path):
    for name, rows in (("a", glue()), ("b", glue()), ("c", glue(label=[1, 1]))):
        datasets.DatasetDict(train=rows).save_to_disk(str(tmp_path / name))
    digests = [SavedSource(find_task("rte"), tmp_path / name).digest("train") for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    source = SavedSource(find_task("rte"), tmp_path / "a")
    (file,) = (tmp_path / "a/train").glob("*.arrow")
    whole = file.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"a/train is no data set of `save_to_disk`, or damaged"):
            source.rows("train")
    file.write_bytes(whole)
    (tmp_path / "a/train/state.json").write_text("{}")
    with pytest.raises(ValueError, match="or damaged"):
        source.rows("train")


def test_scores_and_texts_of_a_data_set(tmp_path, caplog):
    def rows(scores, second="x"):
        texts = {"sentence1": ["a", "b"], "sentence2": ["", second]}
        dataset = datasets.Dataset.from_dict({**texts, "label": scores, "idx": [0, 1]})
        return sources._hub_rows(dataset, find_task("stsb"), "train", "here")

    assert rows([1.0, 2.5]).labels == [1.0, 2.5]
    assert caplog.messages == ["here, train: 1 row has an empty text (row 0) and is used as it is"]
    for score in (None, float("inf"), 1e39):
        with pytest.raises(
            ValueError, match=r"here, train, row 1: score .* is not a number, or not one that a float32"
        ):
            rows([1.0, score])
