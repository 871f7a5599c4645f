"""Opening files of models that others may have written: what is checked before transformers reads them."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel

from stark.encoders.families.table import family_of_type
from stark.errors import StarkError
from stark.storage import (
    DamagedError,
    ReadError,
    check_sizes,
    is_file,
    matching_files,
    reading,
    stored_shapes,
    verify_checksums,
)

__all__ = [
    "CONFIG_FILE",
    "MODEL_FILES",
    "TOKENIZER_FILES",
    "TOKENIZER_READS",
    "check_local",
    "checked_config",
    "one_line_errors",
    "own_weights_",
    "quiet",
]

CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model")
"""Files of a tokenizer, which needs at least one of them."""
MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json")
"""Files that transformers reads for a model besides its configuration."""
TOKENIZER_READS = (*TOKENIZER_FILES, "special_tokens_map.json", "added_tokens.json", "merges.txt", "*.jinja")
"""Files that transformers reads for a tokenizer."""

# Exceptions that the libraries raise on foreign files; which one varies.
_FOREIGN = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError, StrictDataclassError),
)


def checked_config(path: str | Path) -> PreTrainedConfig:
    """Read the configuration of a folder or hub id whose files are intact, of a known family and of plausible sizes.

    Args:
        path: A local folder or, if a string, an id on the hub.

    Raises:
        StarkError: If the files are damaged, the family is not known, or the configuration does not fit the weights.
    """
    check_local(path, CONFIG_FILE)
    verify_checksums(Path(path), (CONFIG_FILE, *MODEL_FILES))
    values = PreTrainedConfig.get_config_dict(str(path))[0]
    family_of_type(values.get("model_type"))
    shapes = stored_shapes(Path(path))
    check_sizes(values, shapes)
    config: PreTrainedConfig = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    _check_memory(config, shapes)
    return config


def own_weights_(model: PreTrainedModel, path: str | Path) -> None:
    """Copy a model's weights out of the file that they are mapped from, and refuse those that are not finite.

    Args:
        model: The model.
        path: Where it was loaded from, for the message.

    Raises:
        StarkError: If a weight is infinite or not a number.
    """
    for parameter in model.parameters():
        # Into aligned memory, because matrix products round differently by alignment.
        parameter.data = parameter.data.clone()
    if odd := [name for name, values in model.named_parameters() if not _is_finite(values.data)]:
        raise StarkError(f"cannot load {path}: {len(odd)} weights are infinite or not a number, such as {odd[0]}")


def check_local(path: str | Path, *patterns: str) -> None:
    """Check a local folder, with clearer errors than transformers'.

    All matching files are opened, because transformers treats a file that cannot be opened as missing.

    Args:
        path: A folder, or an id on the hub unless it is a `Path`.
        patterns: Names of files, one of which must exist.

    Raises:
        StarkError: If there is no such folder, or none of the files.
    """
    folder = Path(path)
    if folder.is_dir():
        files = [file for pattern in patterns for file in matching_files(folder, pattern)]
        if patterns and not files:
            raise StarkError(f"no {' or '.join(patterns)} in it")
        for file in filter(is_file, files):
            with reading(file), file.open("rb") as stream:
                stream.read(1)
    elif isinstance(path, Path) or folder.exists() or folder.is_absolute() or len(folder.parts) > 2:
        raise StarkError("there is no such folder")


@contextmanager
def one_line_errors(path: str | Path) -> Iterator[None]:
    """Turn loading errors into a `StarkError` of one line that names the folder or id.

    A file that could not be read now raises a `ReadError` instead.
    """
    try:
        with reading(path):
            yield
    except (DamagedError, ReadError):  # their messages are complete
        raise
    except _FOREIGN as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise StarkError(f"cannot load {path}: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and weights report; the loaded weights are checked here."""
    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()


# Numbers of the parameters of encoders, by configuration.
_described: dict[tuple[type[PreTrainedConfig], str], int] = {}


def _check_memory(config: PreTrainedConfig, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse a configuration whose encoder is much larger than the weights, which transformers would allocate."""
    if not shapes:
        return
    key = type(config), config.to_json_string(use_diff=False)
    if key not in _described:  # a run loads the same models many times
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            encoder = AutoModelForSequenceClassification.from_config(config).base_model
        _described[key] = sum(parameter.numel() for parameter in encoder.parameters())
    described = _described[key]
    stored = sum(math.prod(shape) for shape in shapes.values())
    if described > 2 * stored:
        raise StarkError(f"{CONFIG_FILE} describes {described:,} weights, but only {stored:,} are stored")


def _is_finite(values: Tensor) -> bool:
    # If any value is NaN, so are minimum and maximum; computing these takes a tenth of the time of isfinite.
    return values.numel() == 0 or all(bool(extreme.isfinite()) for extreme in torch.aminmax(values))
