"""Measurements of the models in a report: score with interval, size, FLOPs, latency, memory and calibration."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.deploy.classifier import Answer, answer_of
from pipeline.deploy.model_data import config_of
from pipeline.parsing.progress import step
from pipeline.results.measure import count_flops
from pipeline.results.measurements import Costs, Session, keep_session, now_text, read_sessions, this_machine
from pipeline.results.statistics import Estimate, estimate_score
from stark.encoders.layers import count_parameters, kept_units
from stark.forward.latency import Latency, measure_latency
from stark.model_folders.input_checks import most_tokens
from stark.model_folders.model_folder import load_classifier, model_digest
from stark.problems.problem import Problem

__all__ = ["SHAPES", "TOKENS", "Kept", "MeasuredModel", "kept_of", "measure_models", "told_shape"]

TOKENS = 128
"""Length of the rows that models are measured with; fewer where the encoder has positions for fewer."""
SHAPES = ((1, 32), (1, TOKENS), (8, TOKENS), (32, TOKENS))
"""Rows and tokens for which latency is measured; on a GPU also for 256 rows of 128 tokens."""
# With fewer rows a GPU waits for its kernels to be launched, which takes as long for a small model as for a large one.
_GPU_ROWS = 256
_BINS = 15


@dataclass(frozen=True)
class Kept:
    """The units of the dense model that a model still has.

    Args:
        heads: One boolean tensor per layer.
        neurons: One boolean tensor per layer.
    """

    heads: list[Tensor]
    neurons: list[Tensor]


@dataclass(frozen=True)
class MeasuredModel:
    """A model of a report.

    Args:
        name: Name that is shown.
        folder: The model's folder in the run.
        score: Score on the development set, with an interval for other rows (and seeds, where there are several).
        parameters: Number of parameters of the whole model.
        encoder_parameters: Number of parameters without embeddings, pooler and classifier.
        megabytes: Size of its weights' file in MB.
        tokens: Length of the longest rows that it was measured with, `TOKENS` or fewer.
        gflops: GFLOPs of one row of this length, if every layer computes all tokens.
        latency: Latency by device and shape, ``{"cpu": {(1, 32): ...}}``.
        memory: Peak memory of a process that classifies 32 rows of this length, in MB, including libraries.
        calibration: Expected calibration error on dev in 15 bins; None for regression.
        measured: When latency and memory were measured, and under which load of the machine.
    """

    name: str
    folder: str
    score: Estimate
    parameters: int
    encoder_parameters: int
    megabytes: float
    tokens: int
    gflops: float
    latency: Mapping[str, Mapping[tuple[int, int], Latency]]
    memory: float
    calibration: float | None
    measured: str = ""


def measure_models(
    root: Path,
    models: Mapping[str, Sequence[str]],
    logits: Mapping[str, Tensor],
    labels: Tensor,
    problem: Problem,
    metrics: Sequence[str],
) -> list[MeasuredModel]:
    """Measure models, or take what was measured earlier on this machine.

    Latency, memory and size are kept with the run (`pipeline.results.measurements`). They are taken from there only if
    all models were measured in turns in one session, with the same files, processor, number of threads, GPU and
    versions of the packages as now. Otherwise all of them are measured again.

    Args:
        root: Folder of the run.
        models: One folder per seed, by name of the model. Latency and size are measured on the first one.
        logits: Their logits for the development set, by folder.
        labels: Labels of the development set.
        problem: The kind of label.
        metrics: Names of the task's metrics.

    Returns:
        The measured models, in the order of ``models``.
    """
    session = _session(root, list(dict.fromkeys(folders[0] for folders in models.values())))
    measured = []
    for name, folders in models.items():
        costs = session.models[folders[0]]
        said = torch.stack(
            [problem.of_model(config_of(root / folder)).for_metrics(logits[folder]) for folder in folders]
        )
        measured.append(
            MeasuredModel(
                name=name,
                folder=folders[0],
                score=estimate_score(said, labels, problem.score_function(metrics)),
                parameters=costs.parameters,
                encoder_parameters=costs.encoder_parameters,
                megabytes=costs.megabytes,
                tokens=session.tokens,
                gflops=costs.gflops,
                latency={
                    device: {_shape_of(shape): latency for shape, latency in found.items()}
                    for device, found in costs.latency.items()
                },
                memory=costs.memory,
                calibration=problem.calibration_error(logits[folders[0]], labels, _BINS),
                measured=session.time,
            )
        )
    return measured


def _session(root: Path, folders: Sequence[str]) -> Session:
    """A session in which all these models were measured: an earlier one, or a new one that is kept."""
    machine, digests = this_machine(), {folder: model_digest(root / folder) for folder in folders}
    tokens = min(TOKENS, *(most_tokens(config_of(root / folder)) for folder in folders))
    shapes = [(rows, min(length, tokens)) for rows, length in SHAPES]
    wanted = {
        device: list(dict.fromkeys(shapes if device == "cpu" else (*shapes, told_shape(device, tokens))))
        for device in _devices()
    }
    names = {device: [_name_of(shape) for shape in found] for device, found in wanted.items()}
    for known in reversed(read_sessions(root)):
        if known.tokens == tokens and known.has(machine, digests, names):
            return known
    time = now_text()  # before the measurement adds to the load
    with step(f"measuring {len(folders)} models of {root} in turns, which takes a minute or more"):
        costs = _measure(root, digests, wanted, tokens)
    session = Session(machine, time, tokens, costs)
    keep_session(root, session)
    return session


def _measure(
    root: Path, digests: Mapping[str, str], shapes: Mapping[str, Sequence[tuple[int, int]]], tokens: int
) -> dict[str, Costs]:
    """Measure models, in turns for the latency."""
    loaded = {folder: load_classifier(root / folder) for folder in digests}
    latency: dict[str, dict[str, dict[str, Latency]]] = {folder: {} for folder in digests}
    for device, listed in shapes.items():
        answers: dict[str, Answer] = {
            folder: answer_of(torch.nn.Module.to(model, device)) for folder, model in loaded.items()
        }
        for shape in listed:
            for folder, found in measure_latency(answers, *shape).items():
                latency[folder].setdefault(device, {})[_name_of(shape)] = found
    measured = {}
    for folder, digest in digests.items():
        model = torch.nn.Module.to(loaded[folder], "cpu")
        parameters, encoder = count_parameters(model)
        measured[folder] = Costs(
            digest=digest,
            parameters=parameters,
            encoder_parameters=encoder,
            megabytes=(root / folder / "model.safetensors").stat().st_size / 1e6,
            gflops=count_flops(model, 1, tokens) / 1e9,
            memory=_memory(root / folder, tokens),
            latency=latency[folder],
        )
    return measured


def _name_of(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _shape_of(name: str) -> tuple[int, int]:
    rows, _, length = name.partition("x")
    return int(rows), int(length)


def told_shape(device: str, tokens: int = TOKENS) -> tuple[int, int]:
    """The shape that is reported first for a device: a single row on a CPU, a full batch on a GPU.

    Args:
        device: Device on which the latency was measured.
        tokens: Length of the rows that the models were measured with.

    Returns:
        Number of rows and of tokens.
    """
    return (1 if device == "cpu" else _GPU_ROWS), tokens


def kept_of(root: Path, dense: str, models: Mapping[str, str]) -> dict[str, Kept]:
    """Find the units of the dense teacher that models still have.

    Args:
        root: Folder of the run.
        dense: Folder of the dense teacher.
        models: Folders by name.

    Returns:
        The units by name of the model. Models that dropped layers are left out.
    """
    original = kept_units(load_classifier(root / dense))
    found = {}
    for name, folder in models.items():
        units = kept_units(load_classifier(root / folder))
        if len(units.heads) == len(original.heads):
            found[name] = Kept(*units.masks_within(original))
    return found


def _devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


_MEMORY = """
import json, os, sys
sys.path.append(os.getcwd())  # last: it is where our packages lie, which need not be installed
from pathlib import Path
import torch
from pipeline.deploy.classifier import open_answer
torch.set_num_threads(int(sys.argv[2]))
ids = torch.ones(32, int(sys.argv[3]), dtype=torch.long)
open_answer(Path(sys.argv[1]))({"input_ids": ids, "attention_mask": ids})
print(json.dumps(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))))
"""


def _memory(folder: Path, tokens: int = TOKENS) -> float:
    """Peak memory of a separate process, as this one has other models in memory; 0 if the system does not report it."""
    if not Path("/proc/self/status").is_file():
        return 0.0
    command = [sys.executable, "-P", "-c", _MEMORY, str(folder.resolve()), str(torch.get_num_threads()), str(tokens)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(json.loads(said.stdout.splitlines()[-1])) * 1024 / 1e6
