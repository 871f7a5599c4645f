"""The parts of the training rows, compared with lists."""

from types import SimpleNamespace

import pytest
import torch

from datamodules.parts import cut_train, limit_labels
from datamodules.tasks.glue import find_task
from datamodules.tokens.columns import TokenColumns

LABELS = torch.tensor([0, 1] * 50)


def cuts(**changed):
    settings = {"train_limit": None, "labelled_limit": None, "use_unlabelled": False, "selection": "train"}
    return SimpleNamespace(**{**settings, "selection_fraction": 0.1, "seed": 1, "cut_seed": None, **changed})


def test_parts_are_disjoint_whole_and_keep_the_share_of_each_class():
    parts = cut_train(LABELS, find_task("sst2"), cuts(train_limit=60))
    train, selection = (set(parts[name].tolist()) for name in ("train", "selection"))
    assert not train & selection
    assert (len(train), len(selection)) == (54, 6)
    assert LABELS[parts["selection"]].tolist().count(1) == 3
    assert LABELS[parts["train"]].tolist().count(1) == 27


def test_a_seed_of_the_cuts_comes_first():
    one, same, other = (
        cut_train(LABELS, find_task("sst2"), cuts(seed=seed, cut_seed=cut)) for seed, cut in ((1, 5), (2, 5), (5, None))
    )
    assert one["selection"].tolist() == same["selection"].tolist() == other["selection"].tolist()


def test_without_a_selection_part_all_rows_are_trained_on():
    assert cut_train(LABELS, find_task("sst2"), cuts(selection="validation"))["train"].tolist() == list(range(100))


def test_a_part_without_rows_is_refused():
    with pytest.raises(ValueError, match="makes a selection part of 0 rows"):
        cut_train(LABELS, find_task("sst2"), cuts(selection_fraction=0.001))


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_rows_lose_their_labels_or_go(task):
    problem = find_task(task).problem
    labels = LABELS.to(problem.label_dtype)
    rows = TokenColumns.from_tensors(
        {"input_ids": torch.zeros(100, dtype=torch.int32), "lengths": torch.ones(100, dtype=torch.int64)}
        | {"idx": torch.arange(100), "labels": labels}
    )
    left = limit_labels(rows, find_task(task), cuts(labelled_limit=20))
    every = limit_labels(rows, find_task(task), cuts(labelled_limit=20, use_unlabelled=True))
    assert (len(left), len(every)) == (20, 100)
    known = problem.is_labelled(every.fields["labels"])
    assert every.fields["idx"][known].tolist() == left.fields["idx"].tolist()
    assert every.fields["labels"][known].tolist() == left.fields["labels"].tolist()
    assert limit_labels(rows, find_task(task), cuts(labelled_limit=100)) is rows


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_rows_without_a_label_are_never_selected_and_only_distilled_on(task):
    problem = find_task(task).problem
    labels = LABELS.to(problem.label_dtype, copy=True)
    labels[::4] = problem.unlabelled
    parts = cut_train(labels, find_task(task), cuts(selection_fraction=0.2))
    assert len(parts["selection"]) == 15  # a fifth of the labelled rows
    assert problem.is_labelled(labels[parts["selection"]]).all()
    assert len(parts["train"]) == 85
    rows = TokenColumns.from_tensors(
        {"input_ids": torch.zeros(85, dtype=torch.int32), "lengths": torch.ones(85, dtype=torch.int64)}
        | {"idx": parts["train"], "labels": labels[parts["train"]]}
    )
    left = limit_labels(rows, find_task(task), cuts())
    every = limit_labels(rows, find_task(task), cuts(use_unlabelled=True))
    assert (len(left), len(every)) == (60, 85)
    assert problem.is_labelled(left.fields["labels"]).all()
    assert torch.equal(every.fields["labels"].nan_to_num(-1.0), rows.fields["labels"].nan_to_num(-1.0))
    few = limit_labels(rows, find_task(task), cuts(labelled_limit=10, use_unlabelled=True))
    assert int(problem.is_labelled(few.fields["labels"]).sum()) == 10


@pytest.mark.parametrize("limit", [None, 60])
def test_no_group_is_divided_and_one_with_an_unlabelled_row_is_not_selected(limit, caplog):
    groups = torch.arange(100) // 5
    labels = LABELS.clone()
    labels[[0, 50]] = -100
    parts = cut_train(labels, find_task("sst2"), cuts(selection_fraction=0.2, train_limit=limit), groups)
    train, selection = (set(groups[parts[name]].tolist()) for name in ("train", "selection"))
    assert not train & selection
    assert not {0, 10} & selection
    assert len(parts["train"]) + len(parts["selection"]) == (limit or 100)
    assert len(parts["selection"]) == (20 if limit is None else 10)
    told = "task 'sst2': no group of rows is divided: train 80 rows of 16 groups, selection 20 rows of 4 groups"
    if limit is None:
        assert told in caplog.messages


def test_groups_that_leave_no_row_to_select_by_are_refused():
    with pytest.raises(ValueError, match=r"too few or too large: that leaves 100 rows to train on and 0 to select by"):
        cut_train(LABELS, find_task("sst2"), cuts(), torch.arange(100) // 50)
