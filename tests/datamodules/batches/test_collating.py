"""Padded batches, compared with a slow loop."""

import pytest
import torch

from datamodules.batches.collating import NoRows, PadCollator
from datamodules.batches.grouping import (
    evaluation_batches,
)
from datamodules.batches.samplers import LazyDataLoader
from datamodules.tokens.columns import TokenColumns
from tests.datamodules.batches.test_samplers import LENGTHS, grouped


def padded_slowly(rows, pad, pad_type, multiple):
    """Pad row by row from Python lists, as datasets returns them."""
    width = -(-max(len(row["input_ids"]) for row in rows) // multiple) * multiple
    batch = {
        "input_ids": [row["input_ids"] + [pad] * (width - len(row["input_ids"])) for row in rows],
        "attention_mask": [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows],
        "idx": [row["idx"] for row in rows],
    }
    if "token_type_ids" in rows[0]:
        batch["token_type_ids"] = [
            row["token_type_ids"] + [pad_type] * (width - len(row["token_type_ids"])) for row in rows
        ]
    batch = {name: torch.tensor(column) for name, column in batch.items()}
    if "labels" in rows[0]:
        dtype = torch.float32 if isinstance(rows[0]["labels"], float) else torch.int64
        batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=dtype)
    return batch


def columns_of(rows):
    """The columns of rows, as the tokenizer returns them."""
    dtypes = {"input_ids": torch.int32, "token_type_ids": torch.int8}
    tensors = {
        name: torch.tensor([token for row in rows for token in row[name]], dtype=dtypes[name])
        for name in dtypes
        if name in rows[0]
    }
    tensors["lengths"] = torch.tensor([len(row["input_ids"]) for row in rows], dtype=torch.int32)
    return TokenColumns.from_tensors(
        tensors | {name: torch.tensor([row[name] for row in rows]) for name in ("idx", "labels") if name in rows[0]}
    )


def some_rows(*, segments, labels):
    rows = [{"input_ids": [7 * i + j + 1 for j in range(length)], "idx": 3 * i} for i, length in enumerate(LENGTHS)]
    for row in rows:
        if segments:
            row["token_type_ids"] = [token % 3 for token in row["input_ids"]]
        if labels is not None:
            row["labels"] = labels(row["idx"] % 2)
    return rows


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize("labels", [int, float, None])
@pytest.mark.parametrize("multiple", [1, 8])
def test_loaded_batches_are_those_of_padding_row_by_row(segments, labels, multiple):
    rows = some_rows(segments=segments, labels=labels)
    batches = [*grouped()(epoch=1), [len(rows) - 1]]  # no token follows the last row in the columns
    loader = LazyDataLoader(columns_of(rows), batch_sampler=batches, collate_fn=PadCollator(4, 8, multiple))
    for batch, chosen in zip(loader, batches, strict=True):
        expected = padded_slowly([rows[row] for row in chosen], 4, 8, multiple or 1)
        assert batch.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(batch[name], tensor)
            assert batch[name].dtype == tensor.dtype


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_the_same_batches(context):
    rows = columns_of(some_rows(segments=True, labels=int)[:40])
    settings = {"batch_sampler": evaluation_batches(rows.lengths, 8), "collate_fn": PadCollator(4)}
    here = list(LazyDataLoader(rows, **settings))
    there = list(LazyDataLoader(rows, num_workers=1, multiprocessing_context=context, **settings))
    assert len(here) == len(there) == 5
    assert all(torch.equal(a[name], b[name]) for a, b in zip(here, there, strict=True) for name in a)


def test_a_batch_without_rows_has_the_form_of_one():
    rows = columns_of([{"input_ids": [2, 7], "token_type_ids": [0, 0], "labels": 1.5, "idx": 5}])
    batch, empty = PadCollator(0)(rows), NoRows(PadCollator(0))(rows)
    assert empty.keys() == batch.keys()
    for name, tensor in batch.items():
        assert empty[name].shape == (0, *tensor.shape[1:])
        assert empty[name].dtype == tensor.dtype
