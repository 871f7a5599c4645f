import json
from dataclasses import replace

import pytest
from transformers import AutoConfig, PreTrainedConfig

from pipeline.deploy.export.dense import dense_form
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers_
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs, lowercases
from tests.tiny import random_masks

INPUTS = ModelInputs(32, "stark", ("one", "two"), "classification", True, "pairs")


@pytest.fixture(scope="module")
def saved(tiny_task, tmp_path_factory):
    model, tokenizer = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)
    folder = save_classifier(model, tmp_path_factory.mktemp("inputs") / "model", tokenizer, INPUTS)
    # The caller's object is not changed.
    assert ModelInputs.read(model.config) is None
    assert tokenizer.model_max_length == 128
    return folder


def test_a_folder_keeps_it_and_so_does_its_tokenizer(saved):
    assert ModelInputs.read(AutoConfig.from_pretrained(saved)) == INPUTS
    assert load_tokenizer(saved).model_max_length == 32
    assert json.loads((saved / "tokenizer_config.json").read_text())["model_max_length"] == 32


def pruned(model):
    return shrink_(model, random_masks(model))


def without_layers(model):
    drop_layers_(model, [0, 2])
    return model


@pytest.mark.parametrize(
    "derive", [lambda model: model, pruned, without_layers, lambda model: dense_form(pruned(model))]
)
def test_whatever_is_made_of_the_model_inherits_it(saved, derive, tmp_path):
    folder = save_classifier(derive(load_classifier(saved)), tmp_path / "model", load_tokenizer(saved))
    assert ModelInputs.read(AutoConfig.from_pretrained(folder)) == INPUTS
    assert load_tokenizer(folder).model_max_length == 32


def test_a_later_fit_replaces_it(saved, tmp_path):
    later = replace(INPUTS, max_length=64)
    folder = save_classifier(load_classifier(saved), tmp_path / "model", load_tokenizer(saved), later)
    assert ModelInputs.read(AutoConfig.from_pretrained(folder)) == later
    assert load_tokenizer(folder).model_max_length == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_length", value) for value in (0, 3, -5, 10**9, 64.0, "64", True, None)),
        *(("segment_ids", value) for value in ("bert", None, 1)),
        *(("texts", value) for value in ([], ["a", "b", "c"], "ab", [1], [""], None)),
        *(("kind", value) for value in ("regression", "labels", None)),
        *(("lowercase", value) for value in (1, "yes", None)),
        *(("task", value) for value in ("", 3, None)),
    ],
)
def test_foreign_values_are_refused_by_their_name(name, value):
    config = PreTrainedConfig(num_labels=2)
    INPUTS.write_(config)
    config.stark_inputs[name] = value
    with pytest.raises(ValueError, match=rf"^stark_inputs\.{name} in its configuration is .*, not .*") as error:
        ModelInputs.read(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [3, [], {}, {"max_length": 4}, {**vars(INPUTS), "more": 1}, {1: 2}])
def test_what_has_other_keys_is_refused(values):
    config = PreTrainedConfig()
    config.stark_inputs = values
    with pytest.raises(ValueError, match="must have max_length, segment_ids, texts, kind, lowercase, task"):
        ModelInputs.read(config)


def test_scores_have_one_label():
    config = PreTrainedConfig(num_labels=1)
    replace(INPUTS, kind="regression").write_(config)
    assert ModelInputs.read(config).kind == "regression"


def test_casing_is_what_the_tokenizer_does(tiny_task):
    tokenizer = load_tokenizer(tiny_task.encoder)
    assert lowercases(tokenizer)
    tokenizer.backend_tokenizer.normalizer = None
    assert not lowercases(tokenizer)
