"""Which kind of label a task or a model has."""

import pytest
from transformers import BertConfig

from stark.model_folders.model_folder import set_labels_
from stark.problems.table import problem_for, problem_of


def test_the_number_of_names_decides_where_nothing_else_does():
    assert problem_for(["a", "b"]).kind == "classification"
    assert problem_for(["a"]).kind == "regression"
    assert problem_for(["a"], "single_label_classification").kind == "classification"
    with pytest.raises(ValueError, match="choose one of single_label_classification, regression"):
        problem_for(["a"], "ranking")


@pytest.mark.parametrize("names", [["stars"], ["no", "yes"]])
def test_a_configuration_keeps_it(names):
    config = BertConfig()
    set_labels_(config, names)
    found = problem_of(BertConfig.from_dict(config.to_dict()))
    assert type(found) is type(problem_for(names))
    assert found.label_names == tuple(names)


def test_a_model_from_elsewhere_is_known_by_its_labels():
    assert problem_of(BertConfig(num_labels=3)).kind == "classification"
    assert problem_of(BertConfig(num_labels=1)).kind == "regression"
    assert problem_of(BertConfig(num_labels=3, problem_type="multi_label_classification")).kind == "classification"
