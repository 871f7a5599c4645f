"""Model folders: safetensors weights, config.json and tokenizer files, readable by transformers and without pickle."""

import copy
import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from stark.encoders.families.table import family_of
from stark.errors import StarkError
from stark.model_folders.foreign import (
    CONFIG_FILE,
    MODEL_FILES,
    TOKENIZER_FILES,
    TOKENIZER_READS,
    check_local,
    checked_config,
    one_line_errors,
    own_weights_,
    quiet,
)
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.table import set_labels_
from stark.storage import (
    WEIGHTS_FILE,
    WriteError,
    check_sizes,
    file_digest,
    is_file,
    is_intact_folder,
    matching_files,
    new_folder,
    reading,
    verify_checksums,
    weights_files,
    write_checksums,
)

__all__ = [
    "check_free",
    "labels_of",
    "load_classifier",
    "load_tokenizer",
    "model_digest",
    "save_classifier",
    "stored_labels",
]

_log = logging.getLogger(__name__)


def save_classifier(
    model: PreTrainedModel,
    directory: str | Path,
    tokenizer: PreTrainedTokenizerFast | None = None,
    inputs: ModelInputs | None = None,
) -> Path:
    """Write a model folder; it appears under its name only when it is complete.

    Args:
        model: A classifier, dense or shrunk. Label names and kept units come from its configuration.
        directory: Folder to write. It replaces an empty folder of that name, and a model folder that this function
            wrote, if no file in it was changed or added.
        tokenizer: Tokenizer that is saved with the model, so that ``transformers.pipeline`` can use the folder. None
            means that of the folder or hub id that the model was loaded from, if there is one.
        inputs: Preparation of the rows that the model was trained on; None keeps that in its configuration. Its maximum
            length is saved as the tokenizer's ``model_max_length``.

    Returns:
        The folder.

    Raises:
        StarkError: If something else has that name.
    """
    folder = Path(directory)
    check_free(folder)
    tokenizer = _loaded_with(model) if tokenizer is None else tokenizer
    with new_folder(folder) as temporary:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        try:
            save_file(weights, temporary / WEIGHTS_FILE, metadata={"format": "pt"})
        except SafetensorError as error:
            raise WriteError(folder, str(error)) from error
        config = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.dtype = model.dtype
        if inputs is not None:
            inputs.write_(config)
        config.save_pretrained(temporary)
        if tokenizer is not None:
            known = ModelInputs.read(config)
            if known is not None:
                tokenizer = copy.copy(tokenizer)  # the caller's object is not changed
                tokenizer.model_max_length = known.max_length
            tokenizer.save_pretrained(temporary)
        write_checksums(temporary)
    return folder


def check_free(folder: Path) -> None:
    """Check that `save_classifier` may write a folder.

    Args:
        folder: The folder.

    Raises:
        StarkError: If it exists and `save_classifier` did not write it, or if it was changed since.
    """
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if os.path.lexists(folder) and not is_empty and not is_intact_folder(folder):
        raise StarkError(
            f"{folder} exists and is not a model folder that this project wrote, or was changed: it was not replaced; "
            "remove it, or choose another name"
        )


def load_classifier(
    path: str | Path, *, label_names: Sequence[str] | None = None, kind: str | None = None, new_head: bool = True
) -> PreTrainedModel:
    """Load a classifier from a folder or from the Hugging Face hub, in float32 and eval mode.

    Only safetensors files are read, and no code comes from the folder. Files that `SHA256SUMS` lists must have the
    checksums in it. Reloading what `save_classifier` wrote gives bit-identical logits.

    Args:
        path: A local folder (a model folder or any other that transformers can load) or, if a string, an id on the hub.
        label_names: Names of the classes in the order of their numbers; a single name means regression. None keeps the
            stored classifier. A stored classifier with the same names is kept; its outputs are put into this order, and
            names may differ in case. One of the same size that only has
            transformers' default names ("LABEL_0") is kept, too, and gets these names. A plain pretrained encoder gets
            a new classifier, drawn from torch's current random state.
        kind: Name of the kind of label, see `problem_for`; only with label names.
        new_head: Whether a new classifier may be created; False for a teacher.

    Raises:
        StarkError: If there is no usable model (the message gives the reason), the stored classifier has other label
            names, or a new classifier is needed but not allowed.
        ReadError: If a file could not be read now.
    """
    with one_line_errors(path), quiet():
        config = checked_config(path)
        stored_names = labels_of(config)
        if label_names is not None:
            set_labels_(config, label_names, kind)
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            str(path),
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        missing, mismatched = set(loaded["missing_keys"]), {key for key, *_ in loaded["mismatched_keys"]}
        _check_encoder(model, missing | mismatched | set(loaded["unexpected_keys"]))
        has_classifier = not missing
        if has_classifier and label_names is not None and list(label_names) != stored_names:
            if (order := _order(stored_names, label_names)) is not None:
                _reorder_(model, order)
                _log.warning("%s: its labels %s are taken as %s, by their names", path, stored_names, list(label_names))
            elif any(name != f"LABEL_{number}" for number, name in enumerate(stored_names)):
                raise StarkError(
                    f"its classifier has the labels {stored_names}, not {list(label_names)}: name the task's labels as "
                    "the model does, or take a model of this task"
                )
            else:
                action = "replaced by a new one" if mismatched else "taken"
                _log.warning("%s: its classifier has no label names; it is %s for %s", path, action, list(label_names))
        if (missing or mismatched) and (label_names is None or not new_head):
            raise StarkError("it has no trained classifier for these labels" if label_names else "it has no classifier")
    own_weights_(model, path)
    classifier: PreTrainedModel = model.eval()
    if Path(path).is_dir():
        classifier.name_or_path = str(Path(path).resolve())
    return classifier


def _order(stored: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Numbers of the stored labels in the order of the wanted ones; None if they are not the same names."""
    known = {name.strip().casefold(): number for number, name in enumerate(stored)}
    asked = [name.strip().casefold() for name in wanted]
    if len(known) < len(stored) or sorted(known) != sorted(asked):
        return None
    return [known[name] for name in asked]


def _reorder_(model: PreTrainedModel, order: Sequence[int]) -> None:
    """Put a classifier's outputs into another order: the rows of its last linear layer."""
    head = model.get_submodule("classifier")
    *_, last = (module for module in head.modules() if isinstance(module, nn.Linear))
    for parameter in last.parameters():
        parameter.data = parameter.data[list(order)]


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a folder or of an id on the Hugging Face hub.

    Raises:
        StarkError: If there is no fast tokenizer.
    """
    with one_line_errors(path), quiet():
        check_local(path, *TOKENIZER_FILES)
        verify_checksums(Path(path), (CONFIG_FILE, *TOKENIZER_READS))
        if is_file(Path(path, CONFIG_FILE)):  # transformers builds a configuration, with an entry per label
            check_sizes(PreTrainedConfig.get_config_dict(str(path))[0])
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise StarkError("it has no fast tokenizer (tokenizer.json)")
    return tokenizer


def model_digest(path: str | Path) -> str:
    """Identify a model by the content of its files, not by its path.

    Args:
        path: A local folder, or an id on the hub.

    Returns:
        SHA-256 over configuration, weights and tokenizer files of the folder, hexadecimal; for a model on the hub, its
        id and commit.

    Raises:
        StarkError: If there is no model.
    """
    folder = Path(path)
    with reading(path):
        is_local = folder.is_dir()
    if not is_local:
        with one_line_errors(path), quiet():
            check_local(path)
            config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
        return f"{path}@{config._commit_hash}"
    patterns = (CONFIG_FILE, *MODEL_FILES, *TOKENIZER_READS)
    files = sorted({file for pattern in patterns for file in matching_files(folder, pattern) if is_file(file)})
    if not is_file(folder / CONFIG_FILE) or not weights_files(folder):
        raise StarkError(f"{folder} is not a model folder: it needs {CONFIG_FILE} and {WEIGHTS_FILE}")
    return hashlib.sha256("".join(f"{file_digest(file)}  {file.name}\n" for file in files).encode()).hexdigest()


def stored_labels(path: str | Path) -> list[str]:
    """The label names in a model's configuration, those that transformers gives to every encoder among them.

    Args:
        path: A local folder or, if a string, an id on the hub.

    Raises:
        StarkError: If there is no usable model; the message gives the reason.
        ReadError: If a file could not be read now.
    """
    with one_line_errors(path), quiet():
        return labels_of(checked_config(path))


def labels_of(config: PreTrainedConfig) -> list[str]:
    """The names of a configuration's classes in the order of their numbers."""
    names: Any = config.id2label  # its type allows numbers or texts as keys
    return [names[number] for number in range(config.num_labels or 0)]


def _loaded_with(model: PreTrainedModel) -> PreTrainedTokenizerFast | None:
    """The tokenizer of the folder or hub id that a model was loaded from; None if it was not loaded from one."""
    source = str(model.name_or_path)  # load_classifier makes the path of a folder absolute
    if not source or (Path(source).is_absolute() and not any(matching_files(Path(source), p) for p in TOKENIZER_FILES)):
        return None
    return load_tokenizer(source)


def _check_encoder(model: PreTrainedModel, keys: Iterable[str]) -> None:
    """Refuse a model whose embeddings or layers lack weights or have others than the configuration describes."""
    if any(key.startswith(("cls.0.", "cls.3.")) for key in keys):
        raise StarkError("it has the layout of a published StarK checkpoint: convert it with import_stark_checkpoint")
    body = (family_of(model).layers_path.split(".")[0], "embeddings")
    names = (key.removeprefix(f"{model.base_model_prefix}.") for key in keys)
    if wrong := sorted(name for name in names if name.split(".")[0].startswith(body)):
        raise StarkError(f"{len(wrong)} weights are missing or do not fit {CONFIG_FILE}, such as {wrong[0]}")
