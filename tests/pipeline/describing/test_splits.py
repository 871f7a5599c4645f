"""Which split is which part."""

import pytest
from datasets import Dataset, DatasetDict

from pipeline.describing.splits import parts_of, parts_text, train_of
from stark.errors import StarkError

LABELLED, UNLABELLED = {"text": ["a", "b"], "label": ["x", "y"]}, {"text": ["a", "b"], "label": [None, None]}


@pytest.mark.parametrize(
    ("splits", "parts", "told"),
    [
        (["train", "validation", "test"], {"train": "train", "dev": "validation", "test": "test"}, "dev: validation"),
        (["test", "train"], {"train": "train", "dev": "test"}, "train: train, dev: test"),
        (["train", "unlabelled_test"], {"train": "train", "split": {"dev": 0.2}, "test": "test"}, "dev: 20 % of train"),
        (["train", "dev", "extra"], {"train": "train", "dev": "dev"}, "train: train, dev: dev"),
        (["test"], {"train": "test", "split": {"dev": 0.2}}, "train: test, dev: 20 % of train"),
    ],
)
def test_parts(tmp_path, splits, parts, told):
    content = {name.removeprefix("unlabelled_"): UNLABELLED if "_" in name else LABELLED for name in splits}
    saved = DatasetDict({name: Dataset.from_dict(rows) for name, rows in content.items()})
    saved.save_to_disk(str(tmp_path / "saved"))
    train = train_of(str(tmp_path / "saved"), list(content))
    found = parts_of(train, list(content), "label", 0.2)
    assert found == parts
    assert parts_text(found).endswith(told) or told in parts_text(found)


def test_no_train():
    with pytest.raises(StarkError, match=r"^rows has the splits a, b, of which none is train: write a YAML that names"):
        train_of("rows", ["a", "b"])
