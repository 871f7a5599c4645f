"""The kind of label of a task or a model."""

import pytest
from transformers import BertConfig

from stark.problems import table
from stark.problems.classification import Classification
from stark.problems.table import problem_for, problem_of, register_problem, set_labels_


class Grades(Classification):
    """Ordered classes."""

    kind = "grades"


def test_the_number_of_names_decides_where_nothing_else_does():
    assert problem_for(["a", "b"]).kind == "classification"
    assert problem_for(["a"]).kind == "regression"
    assert problem_for(["a"], "classification").kind == "classification"
    with pytest.raises(
        ValueError, match="choose one of classification, regression, multi_label, ranking, or name the Python file"
    ):
        problem_for(["a"], "grades")


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
    assert problem_of(BertConfig(num_labels=3, problem_type="multi_label_classification")).kind == "multi_label"


@pytest.fixture
def grades(monkeypatch):
    monkeypatch.setattr(table, "PROBLEMS", dict(table.PROBLEMS))
    register_problem(Grades)


@pytest.mark.usefixtures("grades")
def test_a_registered_kind_is_kept_in_the_configuration():
    config = BertConfig()
    set_labels_(config, ["poor", "good"], "grades")
    assert config.problem_type == "single_label_classification"  # transformers accepts only its own names
    read = BertConfig.from_dict(config.to_dict())
    assert isinstance(problem_of(read), Grades)
    set_labels_(read, ["poor", "good"])
    assert problem_of(read).kind == "classification"
    assert "stark_kind" not in read.to_dict()


def test_a_model_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"no kind of label 'grades'.*with --plugins"):
        problem_of(BertConfig(stark_kind="grades"))


@pytest.mark.usefixtures("grades")
def test_a_name_is_given_once():
    register_problem(Grades)

    class Other(Classification):
        kind = "grades"

    with pytest.raises(ValueError, match="another kind of label that is called 'grades'"):
        register_problem(Other)
