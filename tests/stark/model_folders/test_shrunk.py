import inspect
import json
import logging

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification

from stark.encoders.cutting import shrink_
from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layers import encoder_layers
from stark.model_folders import shrunk
from stark.model_folders.model_folder import load_tokenizer, save_classifier
from stark.model_folders.sample_encoder import save_sample_encoder
from tests.tiny import FAMILIES, LEAN, random_masks, tiny_batch, tiny_classifier


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(save_sample_encoder(tmp_path_factory.mktemp("sample") / "encoder", ["good", "bad"]))


@pytest.mark.parametrize("empty", [(-1, -1), (0, 1), (1, 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_loads_shrunk_folders(family, empty, tokenizer, tmp_path, caplog):
    model = tiny_classifier(family)
    shrink_(model, random_masks(model, empty_heads=empty[0], empty_neurons=empty[1]))
    with torch.no_grad():
        expected = model(**tiny_batch()).logits
        text_logits = model(**tokenizer("good", return_tensors="pt", return_token_type_ids=False)).logits
    folders = [save_classifier(model, tmp_path / "ours", tokenizer), tmp_path / "theirs"]
    model.save_pretrained(folders[1])
    tokenizer.save_pretrained(folders[1])
    transformers.logging.get_logger("transformers").addHandler(caplog.handler)
    for folder in folders:
        loaded, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
        assert type(loaded) is type(model)
        assert not any(info.values())
        assert loaded.config.kept_units == model.config.kept_units
        with torch.no_grad():
            torch.testing.assert_close(loaded(**tiny_batch()).logits, expected)
        classify = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
        scores = {entry["label"]: entry["score"] for entry in classify(["good"])[0]}
        probabilities = text_logits.softmax(-1)[0].tolist()
        assert [scores["LABEL_0"], scores["LABEL_1"]] == pytest.approx(probabilities, abs=1e-5)
    transformers.logging.get_logger("transformers").removeHandler(caplog.handler)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_have_importable_names(family):
    model = tiny_classifier(family)
    shrink_(model, random_masks(model))
    for thing in (model, model.config):
        assert getattr(shrunk, type(thing).__name__) is type(thing)
        assert type(thing).__name__ in shrunk.__all__
        assert type(thing).__module__ == "stark.model_folders.shrunk"


def test_a_model_can_be_built_from_the_configuration_alone(tmp_path):
    model = tiny_classifier()
    shrink_(model, random_masks(model, empty_heads=1))
    model.config.save_pretrained(tmp_path)
    built = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tmp_path))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert [layer.num_heads for layer in encoder_layers(built)][1] == 0


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (None, "kept units need the keys heads and neurons, got None"),
        ({"heads": ["0-7", ""], "neurons": ["", ""]}, "layer 0 does not have the heads 4-7"),
        ({"heads": ["0"], "neurons": ["0"]}, "kept heads are given for 1 layers, the model has 2"),
    ],
)
def test_kept_units_that_do_not_fit_are_refused(kept, message, tmp_path):
    model = tiny_classifier()
    shrink_(model, random_masks(model))
    config = model.config.to_dict() | {"kept_units": kept}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tmp_path))


def test_every_adapter_is_registered():
    for family in SUPPORTED:
        assert f"stark-{family}" in transformers.CONFIG_MAPPING


@pytest.mark.parametrize("empty_heads", [-1, 2])
@pytest.mark.parametrize("family", LEAN)
def test_the_last_layer_of_a_served_student_computes_one_token(family, empty_heads):
    model = tiny_classifier(family, layers=3).eval()
    shrink_(model, random_masks(model, empty_heads=empty_heads))
    inputs = {name: tensor for name, tensor in tiny_batch().items() if name != "labels"}
    tokens = []
    encoder_layers(model)[-1].ffn_out.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0].shape[1]))
    wanted = model(**inputs, output_hidden_states=True)
    assert wanted.hidden_states[-1].shape[1] == 10
    torch.testing.assert_close(model(**inputs).logits, wanted.logits)
    torch.testing.assert_close(model(*inputs.values())[0], wanted.logits)
    torch.testing.assert_close(model(**inputs, return_dict=False)[0], wanted.logits)
    assert tokens == [10, 1, 1, 1]
    without_mask = {name: tensor for name, tensor in inputs.items() if name != "attention_mask"}
    unmasked = model(**without_mask, output_hidden_states=True).logits
    torch.testing.assert_close(model(**without_mask).logits, unmasked)
    squared = inputs["attention_mask"][:, None, None, :].bool().expand(-1, 1, 10, 10)
    torch.testing.assert_close(model(**inputs | {"attention_mask": squared}).logits, wanted.logits)
    model.config.output_hidden_states = True
    assert model(**inputs).hidden_states[-1].shape[1] == 10
    model.config.output_hidden_states = False
    model.train()(**inputs)
    assert tokens[4:] == [10, 1, 10, 10, 10]


@pytest.mark.parametrize("family", FAMILIES)
def test_signatures_are_the_familys(family):
    model = tiny_classifier(family)
    wanted = inspect.signature(model.forward)
    shrink_(model, random_masks(model))
    assert inspect.signature(model.forward) == wanted


def test_a_row_of_padding_alone_spoils_no_other():
    model = tiny_classifier().eval()
    shrink_(model, random_masks(model))
    inputs = {name: tensor for name, tensor in tiny_batch().items() if name != "labels"}
    wanted = model(**inputs).logits
    inputs["attention_mask"] = inputs["attention_mask"].clone()
    inputs["attention_mask"][1] = 0
    found = model(**inputs).logits
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]])
    assert found.isfinite().all()


def test_it_is_exported():
    model = tiny_classifier().eval()
    shrink_(model, random_masks(model))
    batch = tiny_batch()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits
    exported = torch.export.export(model, (), inputs, strict=False).module()
    torch.testing.assert_close(exported(**inputs).logits, logits)
