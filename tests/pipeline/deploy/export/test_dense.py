import json
import subprocess
import sys

import pytest
import torch

from pipeline.deploy.export.dense import dense_form
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers_
from stark.encoders.layers import encoder_layers
from stark.model_folders.model_folder import save_classifier
from stark.storage import write_tensors
from stark.vocabulary.factorizing import factorise_embeddings_
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

# Run in another folder, where our packages cannot be found, to show that none of them is needed.
READ = """
import sys, torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification
model, info = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], output_loading_info=True)
assert not any(info.values()), info
case = load_file(sys.argv[2])
with torch.no_grad():
    logits = model.eval()(input_ids=case["input_ids"], attention_mask=case["attention_mask"]).logits
torch.testing.assert_close(logits, case["logits"])
assert not any(name.split(".")[0] in ("lightning_modules", "pytorch_lightning") for name in sys.modules)
print(type(model).__name__)
"""


@pytest.mark.parametrize("empty", [(-1, -1), (0, 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_shrunk_model(family, empty):
    model = tiny_classifier(family)
    sizes = [(layer.num_heads, layer.num_neurons) for layer in encoder_layers(model)]
    shrink_(model, random_masks(model, empty_heads=empty[0], empty_neurons=empty[1]))
    dense = dense_form(model)
    assert type(dense).__name__ == type(model).__name__.removeprefix("Stark")
    assert [(layer.num_heads, layer.num_neurons) for layer in encoder_layers(dense)] == sizes
    with torch.no_grad():
        torch.testing.assert_close(dense(**tiny_batch()).logits, model(**tiny_batch()).logits)


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_factorised_embeddings_become_whole(family):
    model = tiny_classifier(family)
    factorise_embeddings_(model, 4, torch.ones(120))
    dense = dense_form(model)
    assert type(dense.get_input_embeddings()) is torch.nn.Embedding
    assert not {"kept_units", "embedding_rank"} & dense.config.to_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(dense(**tiny_batch()).logits, model(**tiny_batch()).logits)


@pytest.mark.slow
def test_transformers_alone_loads_the_folder(tmp_path):
    model = drop_layers_(tiny_classifier(layers=3), [0, 2])
    shrink_(model, random_masks(model))
    model.config.id2label = {0: "bad", 1: "good"}
    batch = {name: values for name, values in tiny_batch().items() if name != "labels"}
    with torch.no_grad():
        write_tensors(tmp_path / "case.safetensors", {**batch, "logits": model(**batch).logits.contiguous()})
    folder = save_classifier(dense_form(model), tmp_path / "dense")
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"]) == ("bert", 2)
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert "kept_units" not in config
    command = [sys.executable, "-c", READ, str(folder), str(tmp_path / "case.safetensors")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.strip() == "BertForSequenceClassification"


def test_a_dense_model_has_that_form_already():
    with pytest.raises(ValueError, match="is not shrunk: any transformers can load it as it is"):
        dense_form(tiny_classifier())
