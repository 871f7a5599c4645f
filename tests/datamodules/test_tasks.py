import pytest

from datamodules.tasks import TASKS, find_task


def test_all_tasks_are_there():
    assert set(TASKS) == {"rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm", "cola", "wnli", "ax"}
    assert all(name == task.name for name, task in TASKS.items())


def test_an_unknown_task_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"^unknown task 'mprc': choose one of ax, cola, .*, wnli$"):
        find_task("mprc")


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_an_entry_is_consistent(task):
    assert task.is_regression == (task.name == "stsb")
    assert len(task.label_spelling) == (0 if task.is_regression else task.num_labels)
    assert set(task.layouts) == set(task.hub_splits)
    assert set(task.metrics) <= {"accuracy", "f1", "matthews_corrcoef", "pearson", "spearmanr"}
    assert task.submission_words == (task.name in {"rte", "qnli", "mnli", "mnlimm", "ax"})
    for split, layout in task.layouts.items():
        assert (layout.label is None) == (split == "test")
        assert (layout.text_b is not None) == task.is_pair
        assert max(layout.text_a, layout.text_b or 0, layout.label or 0, layout.idx or 0) < layout.columns


def test_label_order_is_the_hubs():
    assert find_task("rte").label_names == ("entailment", "not_entailment")
    assert find_task("wnli").label_names == ("not_entailment", "entailment")
    assert find_task("mnli").label_names == ("entailment", "neutral", "contradiction")
