"""Convert checkpoints of the released StarK code into model folders.

Such a checkpoint is a BERT with a special classifier (``cls.0``, tanh, dropout, ``cls.3``) on the first position. It
computes the same as the pooler and classifier of ``BertForSequenceClassification``. A sparsified checkpoint is stored
dense: the units of each layer are sorted by decreasing importance, and a map from sparsity (percent, a string) gives
the number of last units of each layer that are dropped. A student is stored already cut. The width of its blocks is the
dense width minus the width of the dropped units rounded to a multiple of eight, so it can differ from the width of the
kept units, and can even be negative.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from stark.encoders.cutting import shrink_to_
from stark.encoders.layers import encoder_layers
from stark.encoders.units import KeptUnits
from stark.errors import StarkError
from stark.model_folders.foreign import one_line_errors
from stark.model_folders.model_folder import load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.table import set_labels_
from stark.storage import check_sizes, weights_files

__all__ = ["STARK_LABELS", "import_stark_checkpoint", "plain_state"]

STARK_LABELS = {
    "mnli": ("contradiction", "neutral", "entailment"),
    "mnlimm": ("contradiction", "neutral", "entailment"),
    "qnli": ("not_entailment", "entailment"),
    "rte": ("not_entailment", "entailment"),
}
"""Order of the classes in released checkpoints, for the tasks where it differs from the data set's order."""

_RENAMED = {"cls.0.": "bert.pooler.dense.", "cls.3.": "classifier."}
_NARROWEST = 8
_NOT_READ = ("bert.pooler.", "bert.embeddings.position_ids")


def import_stark_checkpoint(
    source: str | Path,
    directory: str | Path,
    *,
    task: str,
    label_names: Sequence[str],
    sparsity: str | None = None,
    inputs: ModelInputs | None = None,
) -> Path:
    """Convert a released checkpoint into a model folder.

    A dense checkpoint with a map is cut according to the map, without rounding to multiples of eight. A checkpoint that
    is stored cut keeps its sizes, except for blocks that the released code skips: those whose width in the released
    code is below eight, whatever the checkpoint stores for them. Kept units are numbered in the checkpoint's order. In
    the released code a skipped block does not add its output bias, so that bias is set to zero here, which gives the
    same function.

    Args:
        source: Local folder with config.json, vocab.txt, and pytorch_model.bin or model.safetensors.
        directory: The model folder to write.
        task: Name of the task, which determines the order of the checkpoint's classes.
        label_names: The data set's classes, in this project's order; the classifier's rows are reordered to it.
        sparsity: One of the levels of a sparsified checkpoint's map, such as "70". None means the level named in its
            configuration ("0" for a teacher).
        inputs: Preparation of the checkpoint's rows, which the checkpoint does not store; its segments are "stark".

    Returns:
        The folder.

    Raises:
        StarkError: If the checkpoint has another layout or other labels, or no such level.

    Source: GeneZC/StarK modeling_sparsebert.py; deviation: no rounding where a dense checkpoint is cut.
    """
    folder = Path(source)
    with one_line_errors(folder):
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        state = plain_state(_read_weights(folder))
        check_sizes(values, {name: tuple(tensor.shape) for name, tensor in state.items()})
        order = _label_order(task, label_names, len(state["classifier.weight"]))
        state |= {name: state[name][order] for name in ("classifier.weight", "classifier.bias")}
        level = str(values.pop("sparsity", "0"))
        sparsity_map = values.pop("sparsity_map", {})
        config = BertConfig.from_dict(values)
        set_labels_(config, label_names)
        stored = _stored_rows(config, state)
        widths = _released_widths(config, sparsity_map[level]) if level in sparsity_map else None
        is_cut = widths is not None and stored == _rows_of(config, widths)
        if widths is not None and is_cut and sparsity in (None, level):
            keep = _used_units(config, widths)
            model = _load(config, _without_skipped(state, keep), keep)
        elif stored == _dense_widths(config):
            model = _load(config, state, _units_at("0", {}, config))
            shrink_to_(model, _units_at(sparsity or level, sparsity_map, config))
        elif is_cut:
            raise StarkError(f"its weights are stored cut at sparsity {level}: it has no sparsity {sparsity}")
        else:
            raise StarkError(
                f"its attention blocks have {stored.attention} rows and its FFNs {stored.ffn}: that is neither dense "
                f"nor what its sparsity_map gives for sparsity {level}"
            )
    for layer in encoder_layers(model):
        for linear in (layer.attention_output, layer.ffn_out):
            if linear.in_features == 0:
                torch.nn.init.zeros_(linear.bias)
    return save_classifier(model, directory, load_tokenizer(folder), inputs)


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a released checkpoint under the names of ``BertForSequenceClassification``.

    The first layer of the released classifier replaces BERT's pooler, which the released code never reads.

    Args:
        state: Tensors by the released code's names.

    Raises:
        StarkError: If the classifier is missing.

    Examples:
        >>> plain_state({f"cls.{n}.{part}": torch.ones(1) for n in (0, 3) for part in ("weight", "bias")}).keys()
        dict_keys(['bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'classifier.weight', 'classifier.bias'])
    """
    if absent := {f"cls.{n}.{part}" for n in (0, 3) for part in ("weight", "bias")} - set(state):
        raise StarkError(f"not a checkpoint of the released StarK code: it has no {min(absent)}")
    plain = {}
    for name, tensor in state.items():
        if not name.startswith(_NOT_READ):
            start = name[: len("cls.0.")]
            plain[name.replace(start, _RENAMED[start], 1) if start in _RENAMED else name] = tensor
    return plain


def _read_weights(folder: Path) -> dict[str, Tensor]:
    if files := weights_files(folder):
        return {name: tensor for file in files for name, tensor in load_file(file).items()}
    if (folder / "pytorch_model.bin").is_file():
        state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
        return cast(dict[str, Tensor], state)
    raise StarkError("no model.safetensors or pytorch_model.bin in it")


def _label_order(task: str, label_names: Sequence[str], num_rows: int) -> list[int]:
    released = STARK_LABELS.get(task, tuple(label_names))
    if sorted(released) != sorted(label_names):
        raise StarkError(f"released checkpoints of {task} have the labels {list(released)}, not {list(label_names)}")
    if num_rows != len(released):
        raise StarkError(f"its classifier has {num_rows} outputs, {task} has the labels {list(label_names)}")
    return [released.index(name) for name in label_names]


class _Widths(NamedTuple):
    """Numbers of rows of every layer's query and of the first matrix of its FFN."""

    attention: list[int]
    ffn: list[int]


def _stored_rows(config: BertConfig, state: Mapping[str, Tensor]) -> _Widths:
    rows = _Widths([], [])
    for number in range(config.num_hidden_layers):
        layer = f"bert.encoder.layer.{number}."
        if layer + "output.LayerNorm.weight" not in state:
            raise StarkError(f"not a checkpoint of the released StarK code: it has no layer {number}")
        for sizes, name in zip(rows, ("attention.self.query.bias", "intermediate.dense.bias"), strict=True):
            # Old versions of transformers did not save empty tensors.
            sizes.append(len(state.get(layer + name, ())))
    return rows


def _dense_widths(config: BertConfig) -> _Widths:
    layers = config.num_hidden_layers
    return _Widths([config.hidden_size] * layers, [config.intermediate_size] * layers)


def _released_widths(config: BertConfig, dropped: Mapping[str, Mapping[str, int]]) -> _Widths:
    """The widths that the released code computes with; rounding can make them negative."""
    head_size = config.hidden_size // config.num_attention_heads
    return _Widths(
        *(
            [size - round(int(dropped[kind].get(str(number), 0)) * unit / 8) * 8 for number, size in enumerate(sizes)]
            for kind, unit, sizes in zip(("head", "neuron"), (head_size, 1), _dense_widths(config), strict=True)
        )
    )


def _rows_of(config: BertConfig, widths: _Widths) -> _Widths:
    """Rows that the released code stores: it slices, so a negative width leaves rows, which it never uses."""
    return _Widths(
        *(
            [len(range(size)[:width]) for size, width in zip(sizes, found, strict=True)]
            for sizes, found in zip(_dense_widths(config), widths, strict=True)
        )
    )


def _used_units(config: BertConfig, widths: _Widths) -> KeptUnits:
    """The units of a checkpoint that is stored cut; the released code skips a block narrower than eight."""
    head_size = config.hidden_size // config.num_attention_heads
    attention, ffn = ([0 if width < _NARROWEST else width for width in found] for found in widths)
    if any(width % head_size for width in attention):
        raise StarkError(
            f"its attention widths {attention} are not multiples of the head size {head_size}: the released code "
            "cannot compute it either"
        )
    return KeptUnits.all_of([width // head_size for width in attention], ffn)


def _without_skipped(state: Mapping[str, Tensor], keep: KeptUnits) -> dict[str, Tensor]:
    """The weights without the rows and columns of blocks that are skipped."""
    left = dict(state)
    for number, (heads, neurons) in enumerate(zip(keep.heads, keep.neurons, strict=True)):
        layer = f"bert.encoder.layer.{number}."
        for units, inner, outer in (
            (heads, [f"attention.self.{part}." for part in ("query", "key", "value")], "attention.output.dense.weight"),
            (neurons, ["intermediate.dense."], "output.dense.weight"),
        ):
            if not units:
                for name in [layer + part + kind for part in inner for kind in ("weight", "bias")]:
                    left.pop(name, None)
                left.pop(layer + outer, None)
    return left


def _load(config: BertConfig, state: Mapping[str, Tensor], stored: KeptUnits) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    shrink_to_(model, stored)
    loaded = model.load_state_dict(state, strict=False)
    absent = [name for name in loaded.missing_keys if model.get_parameter(name).numel() > 0]
    if wrong := sorted([*absent, *loaded.unexpected_keys]):
        raise StarkError(
            f"not a checkpoint of the released StarK code: {len(wrong)} weights differ, such as {wrong[0]}"
        )
    return model


def _units_at(level: str, sparsity_map: Mapping[str, Any], config: BertConfig) -> KeptUnits:
    if level != "0" and level not in sparsity_map:
        raise StarkError(f"it has no sparsity {level}: one of {', '.join(sparsity_map) or '0'} is stored")
    dropped = sparsity_map.get(level, {"head": {}, "neuron": {}})
    sizes = [
        [size - int(dropped[kind].get(str(number), 0)) for number in range(config.num_hidden_layers)]
        for kind, size in (("head", config.num_attention_heads), ("neuron", config.intermediate_size))
    ]
    return KeptUnits.all_of(*sizes)
