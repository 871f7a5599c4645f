from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from stark.storage import check_sizes, stored_shapes, weights_files

SHAPES = {f"layer.{number}.weight": (32, 64) for number in range(4)}
PLAUSIBLE = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "vocab_size": 64,
    "intermediate_size": 128,
    "num_labels": 3,
    "kept_units": {"heads": [[0], []], "neurons": [[5, 127], [0]]},
}


def test_plausible_sizes_pass():
    check_sizes(PLAUSIBLE, SHAPES)
    check_sizes(PLAUSIBLE)
    check_sizes({})
    check_sizes({"num_hidden_layers": "many", "vocab_size": None}, SHAPES)  # the configuration's class refuses these


@pytest.mark.parametrize("shapes", [SHAPES, None], ids=["weights", "no weights"])
@pytest.mark.parametrize(
    "name",
    ["num_hidden_layers", "n_layers", "hidden_size", "vocab_size", "max_position_embeddings", "dim", "num_labels"],
)
def test_sizes_that_nothing_has_are_refused(name, shapes):
    with pytest.raises(ValueError, match=f"^{name} is 1000000000, but"):
        check_sizes({**PLAUSIBLE, name: 10**9}, shapes)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ({"heads": [[]] * 5}, "names more layers than the 4"),
        ({"neurons": [[10**9]]}, "the unit 1000000000, which no layer has"),
        ({"neurons": [[10**30]]}, "which no layer has"),
    ],
)
def test_kept_units_that_no_layer_has_are_refused(kept, reason):
    with pytest.raises(ValueError, match=reason):
        check_sizes({**PLAUSIBLE, "kept_units": kept}, SHAPES)


def test_weights_are_one_file_or_the_shards_of_an_index(tmp_path):
    assert weights_files(tmp_path) == []
    for number in range(2):
        save_file({f"part{number}": torch.zeros(number + 1, 3)}, tmp_path / f"shard{number}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {f"part{number}": f"shard{number}.safetensors" for number in range(2)}}))
    assert weights_files(tmp_path) == [tmp_path / "shard0.safetensors", tmp_path / "shard1.safetensors"]
    assert stored_shapes(tmp_path) == {"part0": (1, 3), "part1": (2, 3)}
    save_file({"whole": torch.zeros(7)}, tmp_path / "model.safetensors")
    assert stored_shapes(tmp_path) == {"whole": (7,)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "is no index of weights"),
        ("[1]", "is no index of weights"),
        ('{"weight_map": {"a": "../outside.safetensors"}}', "is no index of weights: .*leads out of"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "names gone.safetensors, which is missing"),
    ],
)
def test_an_index_that_is_none(content, reason, tmp_path):
    (tmp_path.parent / "outside.safetensors").touch()
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=reason):
        weights_files(tmp_path)
