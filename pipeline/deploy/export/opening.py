"""Loads exported models, also untrusted ones, as functions from batches to logits."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import AutoConfig

from pipeline.deploy.export.torch_program import load_program
from pipeline.parsing.extras import need_extra
from stark.errors import StarkError
from stark.forward.classifying import Batch
from stark.storage import DamagedError, ReadError, reading, verify_checksums

__all__ = [
    "ONNX_FILE",
    "OPENVINO_FILE",
    "TORCH_FILE",
    "check_exported",
    "is_exported",
    "open_exported",
    "open_graph",
    "quiet_exporters",
]

ONNX_FILE, OPENVINO_FILE, TORCH_FILE = "model.onnx", "openvino_model.xml", "model.pt2"

# Files that determine the model's results, which the checksums must cover; a README.md may be added later.
_COVERED = ("*.json", "model.*", "openvino_model.*", "vocab*", "merges.txt", "*.model")
_EXTRAS = {ONNX_FILE: ("onnx", "onnxruntime"), OPENVINO_FILE: ("openvino", "openvino")}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

_log = logging.getLogger(__name__)

_Run = Callable[[Mapping[str, Tensor]], Tensor]


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a graph that `stark export` wrote, and is not a model folder.

    Args:
        folder: The folder.
    """
    return (folder / "export.json").is_file()


def check_exported(folder: Path) -> None:
    """Compare an exported folder with its checksums. For a folder without checksums a warning is logged.

    Args:
        folder: The folder.

    Raises:
        DamagedError: If a file is missing, differs or is not listed.
    """
    if not verify_checksums(folder, _COVERED):
        _log.warning("%s has no SHA256SUMS: whether its files belong together is not known; export it again", folder)


def open_exported(folder: Path) -> Callable[[Batch], Tensor]:
    """Compare the checksums of an exported model and load it; see `open_graph`.

    Args:
        folder: A folder of `stark export`.

    Returns:
        A function from a batch to its logits, on the CPU.

    Raises:
        StarkError: If the folder is damaged or has no usable model.
    """
    check_exported(folder)
    return open_graph(folder)


def open_graph(folder: Path) -> Callable[[Batch], Tensor]:
    """Load an exported model, with torch's current number of threads.

    The folder may be untrusted: no code in it is unpickled, imported or compiled. ``export.json`` is not read, because
    transformers would import what that file names.

    Args:
        folder: A folder with the files of `stark export`.

    Returns:
        A function from a batch to its logits, on the CPU; it computes in float32 except with int8 weights.

    Raises:
        StarkError: If there is no usable model.
    """
    files = [name for name in _OPENERS if (folder / name).exists()]
    if len(files) != 1:
        raise StarkError(f"cannot load {folder}: it needs one of {', '.join(_OPENERS)}, and has {len(files)} of them")
    file = folder / files[0]
    if file.name in _EXTRAS:
        extra, module = _EXTRAS[file.name]
        need_extra(extra, str(folder), module)
    with _one_line_errors(file), quiet_exporters():
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        run, names = _OPENERS[file.name](file)
        if unknown := set(names) - set(_INPUTS):
            raise StarkError(f"it takes the input {min(unknown)!r}, which no tokenizer gives")
        # A trial call finds other errors of the runtime, and a graph that does not fit the configuration.
        shape = tuple(run({name: torch.ones(2, 3, dtype=torch.long) for name in names}).shape)
        if shape != (2, config.num_labels):
            raise StarkError(f"config.json names {config.num_labels} labels, and the graph has logits of shape {shape}")

    def answer(batch: Batch) -> Tensor:
        return run({name: batch[name] for name in names})

    return answer


def _open_onnx(file: Path) -> tuple[_Run, list[str]]:
    """Load an ONNX graph. ONNX Runtime refuses weights outside of the folder, and operations that are not built in."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {name: values.numpy() for name, values in inputs.items()})[0])

    return run, [entry.name for entry in session.get_inputs()]


def _open_openvino(file: Path) -> tuple[_Run, list[str]]:
    """Load an OpenVINO graph. OpenVINO loads extensions only if a program adds them, and weights only from its .bin."""
    # OpenVINO recognises formats by their content, so that the file could be in another format than its own.
    with file.open("rb") as stream:
        if not stream.read(5).startswith(b"<?xml"):
            raise StarkError("it is no XML")
    import openvino

    # Without this setting OpenVINO would compute in bfloat16 on processors that support it.
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", {"PERFORMANCE_HINT": "LATENCY", **settings})

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.from_numpy(compiled({name: values.numpy() for name, values in inputs.items()})["logits"])

    return run, [port.any_name for port in compiled.inputs]


def _open_torch(file: Path) -> tuple[_Run, list[str]]:
    module, names = load_program(file)

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(**inputs).logits
        return logits

    return run, names


_OPENERS: dict[str, Callable[[Path], tuple[_Run, list[str]]]] = {
    ONNX_FILE: _open_onnx,
    OPENVINO_FILE: _open_openvino,
    TORCH_FILE: _open_torch,
}


@contextlib.contextmanager
def quiet_exporters() -> Iterator[None]:
    """Suppress the exporters' messages in the terminal, and their telemetry.

    Some of them add a handler to the root logger, which would change the look of all later messages.
    """
    handlers = list(logging.root.handlers)
    # If these variables are set, OpenVINO and NNCF send no telemetry about what they convert.
    telling = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
    os.environ.update(dict.fromkeys(telling, "true"))
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        logging.root.handlers[:] = handlers
        transformers.logging.set_verbosity(verbosity)
        for name, value in telling.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _one_line_errors(file: Path) -> Iterator[None]:
    """Turn any exception during loading into a StarkError of one line; each runtime raises different exceptions."""
    try:
        with reading(file):
            yield
    except (DamagedError, ReadError):
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise StarkError(f"cannot load {file}: {reason}") from error
