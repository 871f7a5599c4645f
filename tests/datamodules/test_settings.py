"""The settings of a data module."""

import inspect

import pytest

from datamodules import GLUEDataModule
from datamodules.settings import DataSettings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "x"}, "unknown task 'x'"),
        ({"max_length": 3}, "max_length is 3 but must be at least 4"),
        ({"batch_size": 0}, "batch_size is 0 but must be at least 1"),
        ({"train_limit": 1}, "train_limit is 1 but must be at least 2"),
        ({"unlabelled_ratio": 0.0}, "unlabelled_ratio is 0.0 but must be a number above 0"),
        ({"unlabelled_ratio": float("nan")}, "unlabelled_ratio is nan but must be a number above 0"),
        ({"unlabelled_ratio": 1.0, "tokens_per_batch": 512}, "unlabelled_ratio and tokens_per_batch are given, but"),
        ({"unlabelled": ["x.xlsx"]}, "x.xlsx: its ending is none of .csv, .tsv, .jsonl"),
        ({"batches_per_epoch": 0}, "batches_per_epoch is 0 but must be at least 1"),
        ({"changed_rows": -1}, "changed_rows is -1 but must be a number above 0"),
        ({"changes": []}, r"changes are \[\]: name some of swap, delete, cut, mix"),
        ({"changes": ["swop"]}, r"changes are \['swop'\]: name some of swap"),
        (
            {"changes": ["masked_lm"]},
            r"changes are \['masked_lm'\], but no masked_language_model is given",
        ),
        ({"labelled_limit": 0}, "labelled_limit is 0 but must be at least 1"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of is 0 but must be at least 1"),
        ({"tokens_per_batch": 0}, "tokens_per_batch is 0 but must be at least 1"),
        (
            {"tokens_per_batch": 64, "max_length": 65},
            "tokens_per_batch is 64 but must be at least 72: max_length is 65, which padding rounds up",
        ),
        ({"num_workers": -1}, "num_workers is -1 but must be at least 0"),
        ({"selection": "dev"}, "selection is 'dev': choose one of train, validation"),
        ({"segment_ids": "bert"}, "segment_ids is 'bert': choose one of tokenizer, stark"),
        ({"selection_fraction": 0.0}, "selection_fraction is 0.0 but must lie between 0 and 1"),
        ({"selection_fraction": 1.0}, "selection_fraction is 1.0 but must lie between 0 and 1"),
    ],
)
@pytest.mark.parametrize("kind", [DataSettings, GLUEDataModule])
def test_bad_arguments_are_refused_at_once(kind, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        kind(**({"task": "rte", "model_name_or_path": "nowhere"} | arguments))


def test_a_data_module_is_told_the_same():
    assert inspect.signature(GLUEDataModule) == inspect.signature(DataSettings)


def test_each_setting_is_kept_by_its_name():
    given = {name: value.default for name, value in inspect.signature(DataSettings).parameters.items()}
    given |= {
        "task": "mrpc",
        "data_dir": "nowhere",
        "max_length": 64,
        "labelled_limit": 3,
        "expected_content": {"a": "b"},
        "unlabelled": ["a.csv"],
        "unlabelled_ratio": 2.0,
        "changed_rows": 1.0,
        "changes": ["cut"],
        "batches_per_epoch": 5,
        "masked_language_model": "somewhere",
    }
    for kind in (DataSettings, GLUEDataModule):
        kept = kind(**given)
        assert {**{name: getattr(kept, name) for name in given}, "task": kept.task.name} == given
