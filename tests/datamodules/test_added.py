"""Rows that are added to those of train; test_text.py has those of a data module."""

import pytest
import torch

from datamodules.added import add_unlabelled
from datamodules.tasks.glue import find_task
from tests.datamodules.columns import columns


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_rows_without_labels_are_added_but_not_those_that_are_held_out(task, caplog):
    problem = find_task(task).problem
    train = columns([[1, 2], [3]], torch.tensor([1, 0]).to(problem.label_dtype))
    more = columns([[4, 5], [1, 2], [6], [7, 8, 9], [6], [7, 8]])
    held_out = {"dev": columns([[6], [0]]), "test": columns([[7, 8, 9], [6]])}
    every = add_unlabelled(train, more, held_out, find_task(task), 10)
    assert [every[row]["input_ids"] for row in range(len(every))] == [[1, 2], [3], [4, 5], [1, 2], [7, 8]]
    assert every.fields["idx"].tolist() == [0, 1, 10, 11, 15]
    assert problem.is_labelled(every.fields["labels"]).tolist() == [True, True, False, False, False]
    assert every.fields["labels"].dtype == problem.label_dtype
    assert "rows without labels for distillation: 3; 2 in dev, 1 in test are left out" in caplog.text


def test_rows_without_labels_that_are_all_held_out():
    rows = columns([[1, 2], [3]], torch.tensor([1, 0]))
    with pytest.raises(ValueError, match=r"task 'sst2': all 2 rows without labels are held out: 2 in dev"):
        add_unlabelled(rows, columns([[3], [1, 2]]), {"dev": rows}, find_task("sst2"), 2)
