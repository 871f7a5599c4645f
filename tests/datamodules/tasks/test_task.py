"""Every task is consistent."""

import pytest

from datamodules.tasks.glue import TASKS


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_an_entry_is_consistent(task):
    assert task.problem.has_classes == (task.name != "stsb")
    assert len(task.label_spelling) == (0 if not task.problem.has_classes else task.num_labels)
    assert set(task.layouts) == set(task.hub_splits)
    assert set(task.metrics) <= {"accuracy", "f1", "matthews_corrcoef", "pearson", "spearmanr"}
    assert task.submission_words == (task.name in {"rte", "qnli", "mnli", "mnlimm", "ax"})
    for split, layout in task.layouts.items():
        assert (layout.label is None) == (split == "test")
        assert (layout.text_b is not None) == task.is_pair
        assert max(layout.text_a, layout.text_b or 0, layout.label or 0, layout.idx or 0) < layout.columns
