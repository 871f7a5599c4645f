"""How models answer real rows of dev: latency, throughput, time to the first answer, and size."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.alternatives.features import Texts
from pipeline.alternatives.table import open_alternative
from pipeline.deploy.classifier import open_answer, open_classifier
from pipeline.parsing.progress import step
from pipeline.results.measurements import Session, Use, keep_session, now_text, read_sessions, this_machine
from pipeline.run_folder import ALTERNATIVES
from stark.storage import file_digest, files_below

__all__ = ["Uses", "kept_uses", "measure_uses"]

_ROWS = 200
_ROUNDS = 3
_BATCH = 32
_WARM_UP = 3

_Answer = Callable[[Texts], Any]


class Uses(NamedTuple):
    """What was measured in one session.

    Args:
        time: When that was, and under which load of the machine.
        of: The measurements by folder in the run.
    """

    time: str
    of: Mapping[str, Use]


def kept_uses(root: Path, folders: Sequence[str]) -> Uses | None:
    """What was measured earlier on this machine, if all these models were and have not changed.

    Args:
        root: The run's folder.
        folders: Folders in the run of models, exported models and alternatives.

    Returns:
        The measurements of one session; None if there is none.
    """
    machine, digests = this_machine(), {folder: _digest(root / folder) for folder in folders}
    known = next((known for known in reversed(read_sessions(root)) if known.has_uses(machine, digests)), None)
    return None if known is None else Uses(known.time, known.uses or {})


def measure_uses(root: Path, folders: Sequence[str], rows: Texts) -> Uses:
    """Measure models in turns on real rows, or take what was measured earlier.

    Args:
        root: The run's folder.
        folders: As in `kept_uses`.
        rows: The texts of dev; 200 of them are used.

    Returns:
        The measurements.
    """
    if (known := kept_uses(root, folders)) is not None:
        return known
    chosen = np.linspace(0, len(rows.first) - 1, min(_ROWS, len(rows.first))).round().astype(int).tolist()
    some = Texts(*([texts[row] for row in chosen] for texts in rows if texts))
    now = now_text()  # before the measurement adds to the load
    with step(f"measuring {len(folders)} models of {root} on rows of dev, which takes a minute or more"):
        uses = _measure(root, folders, some)
    keep_session(root, Session(this_machine(), now, 0, {}, uses))
    return Uses(now, uses)


def _measure(root: Path, folders: Sequence[str], rows: Texts) -> dict[str, Use]:
    answers = {folder: _opened(root / folder) for folder in folders}
    single = [_part(rows, [row]) for row in range(len(rows.first))]
    for answer in answers.values():
        for row in single[:_WARM_UP]:
            answer(row)
    milliseconds: dict[str, list[float]] = {folder: [] for folder in folders}
    for row in single:
        for folder, answer in answers.items():
            milliseconds[folder].append(1000 * _seconds(answer, row))
    order = sorted(range(len(single)), key=lambda row: sum(len(texts[0]) for texts in single[row] if texts))
    batches = [_part(rows, order[start : start + _BATCH]) for start in range(0, len(order), _BATCH)]
    rounds: dict[str, list[float]] = {folder: [] for folder in folders}
    for _ in range(_ROUNDS):
        for folder, answer in answers.items():
            rounds[folder].append(sum(_seconds(answer, batch) for batch in batches))
    found = {}
    for folder in folders:
        p50, p95, p99 = np.percentile(milliseconds[folder], [50, 95, 99]).tolist()
        found[folder] = Use(
            digest=_digest(root / folder),
            p50=p50,
            p95=p95,
            p99=p99,
            rows_per_second=len(single) / statistics.median(rounds[folder]),
            cold_start=_cold_start(root / folder, single[0]),
            megabytes=sum(file.stat().st_size for file in _files(root / folder)) / 1e6,
            cores=torch.get_num_threads(),
        )
    return found


def _part(rows: Texts, chosen: Sequence[int]) -> Texts:
    return Texts(*([texts[row] for row in chosen] for texts in rows if texts))


def _seconds(answer: _Answer, rows: Texts) -> float:
    start = time.perf_counter()
    answer(rows)
    return time.perf_counter() - start


def _is_alternative(folder: Path) -> bool:
    return folder.parent.name == ALTERNATIVES


def _opened(folder: Path) -> _Answer:
    """A model as a function of texts, on the CPU."""
    if _is_alternative(folder):
        return open_alternative(folder)
    classifier = open_classifier(folder)
    if classifier.device != "cpu":
        classifier = replace(classifier, answer=open_answer(folder), device="cpu")
    return lambda texts: classifier(texts.first, texts.second, _BATCH)


def _files(folder: Path) -> list[Path]:
    """The files that belong to a model; a card may be added later."""
    return [file for file in files_below(folder) if file.name != "README.md"]


def _digest(folder: Path) -> str:
    listed = "".join(f"{file_digest(file)}  {file.relative_to(folder)}\n" for file in _files(folder))
    return hashlib.sha256(listed.encode()).hexdigest()


# `import cli` lets `import stark` import no torch, which TF-IDF does not need.
_START = """
import json, os, sys
sys.path.append(os.getcwd())  # last: it is where our packages lie, which need not be installed
import cli
from pathlib import Path
folder, rows = Path(sys.argv[1]), json.loads(sys.argv[2])
if sys.argv[3]:
    from pipeline.alternatives.table import Texts, open_alternative
    open_alternative(folder)(Texts(*rows))
else:
    from pipeline.deploy.classifier import open_classifier
    open_classifier(folder)(*rows)
"""


def _cold_start(folder: Path, row: Texts) -> float:
    """Seconds of a separate process that opens a model and answers a row."""
    given = [str(folder.resolve()), json.dumps([texts for texts in row if texts]), "1" * _is_alternative(folder)]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-c", _START, *given], capture_output=True, check=True, cwd=Path(__file__).parents[2]
    )
    return time.perf_counter() - start
