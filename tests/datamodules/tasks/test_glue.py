import pytest

from datamodules.tasks.glue import TASKS, find_task


def test_all_tasks_are_there():
    assert set(TASKS) == {"rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm", "cola", "wnli", "ax"}
    assert all(name == task.name for name, task in TASKS.items())


def test_an_unknown_task_is_refused_with_the_choices():
    with pytest.raises(
        ValueError,
        match=r"^unknown task 'mprc': choose one of ax, cola, .*, wnli, or give a YAML .*: SetFit/subj$",
    ):
        find_task("mprc")


def test_label_order_is_the_hubs():
    assert find_task("rte").label_names == ("entailment", "not_entailment")
    assert find_task("wnli").label_names == ("not_entailment", "entailment")
    assert find_task("mnli").label_names == ("entailment", "neutral", "contradiction")
