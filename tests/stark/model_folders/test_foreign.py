"""Files of models that others wrote; test_model_folder.py opens many damaged ones."""

import math
from pathlib import Path

import pytest
import torch
import transformers

from stark.errors import StarkError
from stark.model_folders.foreign import check_local, checked_config, one_line_errors, own_weights_, quiet
from tests.tiny import tiny_classifier


def test_the_configuration_of_a_folder(tiny_task, tmp_path):
    assert checked_config(tiny_task.encoder).hidden_size == 32
    with pytest.raises(StarkError, match=r"no config\.json in it"):
        checked_config(tmp_path)


def test_a_path_is_a_folder_but_a_name_may_be_one_of_the_hub(tmp_path):
    check_local("someone/model", "config.json")
    for path in (Path("someone/model"), tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(StarkError, match="there is no such folder"):
            check_local(path, "config.json")


def test_an_error_becomes_one_line():
    with pytest.raises(StarkError, match=r"^cannot load x: one$"), one_line_errors("x"):
        raise RuntimeError("one\ntwo")
    with pytest.raises(ZeroDivisionError), one_line_errors("x"):  # a defect
        raise ZeroDivisionError


def test_transformers_is_quiet_for_a_while():
    before = transformers.logging.get_verbosity()
    with quiet():
        assert transformers.logging.get_verbosity() == transformers.logging.ERROR
    assert transformers.logging.get_verbosity() == before


def test_weights_are_copied_and_finite():
    model = tiny_classifier()
    before = {name: (values.data_ptr(), values.clone()) for name, values in model.named_parameters()}
    own_weights_(model, "x")
    for name, values in model.named_parameters():
        assert values.data_ptr() != before[name][0]
        assert torch.equal(values, before[name][1])
    next(model.parameters()).data[0, 0] = math.nan
    with pytest.raises(StarkError, match=r"^cannot load x: 1 weights are infinite or not a number, such as bert\."):
        own_weights_(model, "x")
