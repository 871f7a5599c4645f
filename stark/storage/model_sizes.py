"""The weights files of a model folder, and a check that the sizes in a configuration can be those of its weights.

Libraries build a model from its configuration before they read the weights. A configuration with 10^9 layers or labels
would use all memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from stark.errors import StarkError
from stark.storage.files import inside
from stark.storage.reading import is_file, reading

__all__ = ["WEIGHTS_FILE", "check_sizes", "stored_shapes", "weights_files"]

WEIGHTS_FILE = "model.safetensors"
_INDEX_FILE = f"{WEIGHTS_FILE}.index.json"

_LAYERS = ("num_hidden_layers", "n_layers", "num_layers")
# Where layers share weights, these are the numbers of layers, and num_hidden_layers is that of their passes.
_SHARED_LAYERS = ("num_hidden_groups", "inner_group_num")
_WIDTHS = (
    *("hidden_size", "dim", "embedding_size", "vocab_size", "max_position_embeddings", "type_vocab_size"),
    *("num_attention_heads", "n_heads", "embedding_rank"),
)
# These are sizes of the original model, and all weights of a shrunk model may be smaller.
_ORIGINAL_WIDTHS = ("intermediate_size", "hidden_dim")
_LARGEST_RATIO = 64
# Limits if the shapes of the weights are unknown; also for labels, because the classifier may be new.
_MOST_LAYERS, _MOST = 1024, 2**20


def weights_files(folder: Path) -> list[Path]:
    """The safetensors files with a model's weights: a single one, or the shards that an index names.

    Args:
        folder: A model folder.

    Returns:
        Paths of the files; an empty list if there are no such weights.

    Raises:
        StarkError: If the index is damaged, or names a file that is missing or outside the folder.
    """
    if is_file(folder / WEIGHTS_FILE):
        return [folder / WEIGHTS_FILE]
    index = folder / _INDEX_FILE
    if not is_file(index):
        return []
    with reading(index):
        content = index.read_bytes()
    try:
        names = sorted(set(json.loads(content)["weight_map"].values()))
        files = [inside(folder, name) for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StarkError(f"{index} is no index of weights: {' '.join(str(error).split())}") from error
    if missing := [file.name for file in files if not is_file(file)]:
        raise StarkError(f"{index} names {missing[0]}, which is missing")
    return files


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's weights by their names, from the headers of its files.

    Args:
        folder: A model folder.

    Returns:
        The shapes; empty if there are no safetensors weights.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weights_files(folder):
        with reading(path), path.open("rb"), safe_open(path, framework="pt") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    return shapes


def check_sizes(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]] | None = None) -> None:
    """Refuse a configuration whose sizes cannot be those of the weights, before a model is built from it.

    Args:
        config: Content of a ``config.json``, as it is written there.
        shapes: Shapes of the weights; None if they are unknown.

    Raises:
        StarkError: If a size is larger than the weights allow.

    Examples:
        >>> check_sizes({"num_hidden_layers": 12, "num_labels": 2})
        >>> check_sizes({"num_hidden_layers": 10**9}, {"encoder.layer.0.query.weight": (32, 32)})
        Traceback (most recent call last):
        stark.errors.StarkError: num_hidden_layers is 1000000000, but its weights allow at most 1
    """
    layers = len(shapes) if shapes else _MOST_LAYERS
    width = max((size for shape in shapes.values() for size in shape), default=0) if shapes else _MOST
    hidden = max(min(_number(config, name), width) for name in ("hidden_size", "dim")) or width
    bounds = {
        **dict.fromkeys(_LAYERS, _MOST_LAYERS if _number(config, _SHARED_LAYERS[0]) else layers),
        **dict.fromkeys(_SHARED_LAYERS, layers),
        **dict.fromkeys(_WIDTHS, width),
        **dict.fromkeys(_ORIGINAL_WIDTHS, max(width, _LARGEST_RATIO * hidden)),
        "num_labels": _MOST,
    }
    for name, most in bounds.items():
        if _number(config, name) > most:
            fixed = not shapes or most in (_MOST, _MOST_LAYERS)
            reason = f"at most {most} is supported" if fixed else f"its weights allow at most {most}"
            raise StarkError(f"{name} is {config[name]}, but {reason}")
    kept = config.get("kept_units")
    if any(
        isinstance(units, list) and len(units) > layers for units in (kept.values() if isinstance(kept, dict) else ())
    ):
        raise StarkError(f"kept_units names more layers than the {layers} that its weights allow")
    units = re.findall(r"\d+", json.dumps(kept))
    if largest := next((unit for unit in units if len(unit) > 18 or int(unit) >= bounds["intermediate_size"]), None):
        raise StarkError(f"kept_units names the unit {largest[:20]}, which no layer has")


def _number(config: Mapping[str, Any], name: str) -> float:
    """A size; 0 if the value is not a number, which the configuration's class refuses later."""
    value = config.get(name)
    return value if isinstance(value, int | float) else 0
