import pickle

import pytest
import torch

from datamodules.tokens.columns import TokenColumns
from stark.storage import read_tensors, write_tensors

ROWS = [[2, 7, 3], [2, 3], [2, 9, 9, 3]]


@pytest.fixture
def tensors():
    return {
        "input_ids": torch.tensor([token for row in ROWS for token in row], dtype=torch.int32),
        "lengths": torch.tensor([len(row) for row in ROWS], dtype=torch.int32),
        "idx": torch.tensor([5, 6, 7]),
        "labels": torch.tensor([0.5, 1.5, 2.5]),
    }


def lists_of(columns):
    return [columns[row] for row in range(len(columns))]


def test_rows_and_choices_of_them(tensors):
    columns = TokenColumns.from_tensors(tensors)
    rows = [{"input_ids": ids, "idx": 5 + i, "labels": 0.5 + i} for i, ids in enumerate(ROWS)]
    assert lists_of(columns) == rows
    assert lists_of(columns.select([2, 0])) == [rows[2], rows[0]]
    assert lists_of(columns.select([2, 0, 1]).select(torch.tensor([0, 2]))) == [rows[2], rows[1]]
    assert lists_of(columns.__getitems__([1])) == [rows[1]]
    assert len(columns.select([])) == 0


def test_tokens_are_never_copied(tensors, tmp_path):
    columns = TokenColumns.from_tensors(tensors)
    for part in (columns, columns.select([2, 0]), columns.__getitems__([1])):
        assert part.tokens["input_ids"].data_ptr() == tensors["input_ids"].data_ptr()
        assert part.tokens["input_ids"].dtype == torch.int32
    write_tensors(tmp_path / "x.safetensors", tensors)
    stored = TokenColumns.from_tensors(read_tensors(tmp_path / "x.safetensors")[0])
    assert lists_of(stored) == lists_of(columns)
    assert lists_of(pickle.loads(pickle.dumps(stored.select([1])))) == [columns[1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight": torch.ones(3)},
            "columns of tokenised rows were expected, not idx, .*, weight",
        ),
        ({"input_ids": torch.ones(8)}, "input_ids has 8 tokens, but the rows have 9"),
        ({"token_type_ids": torch.ones(10)}, "token_type_ids has 10 tokens, but the rows have 9"),
        ({"idx": torch.ones(2)}, "idx has 2 rows, but lengths has 3"),
    ],
)
def test_other_tensors_are_refused(tensors, change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TokenColumns.from_tensors(tensors | change)
    with pytest.raises(ValueError, match=r"not none$"):
        TokenColumns.from_tensors({})
