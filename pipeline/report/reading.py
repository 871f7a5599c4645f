"""Reads a run's folder, finished or not."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.execution.manifest import Manifest, Record
from pipeline.execution.outputs import has_output, read_config, read_output
from pipeline.execution.stage import CONTENT
from pipeline.results.summary import Summary
from pipeline.run_folder import METRICS, RunFolder, earlier_metrics, without_seed
from stark.errors import StarkError
from stark.scores.knowledgeableness import Knowledgeableness

__all__ = ["Curve", "RunRecord", "UnitScatter", "read_run"]

_DRAWN = [part.name for part in Knowledgeableness().parts]


@dataclass(frozen=True)
class Curve:
    """The course of a fit.

    Args:
        stage: Name of its stage.
        losses: Pairs of step and training loss.
        scores: Pairs of step and score on the selection part.
    """

    stage: str
    losses: list[tuple[int, float]]
    scores: list[tuple[int, float]]


@dataclass(frozen=True)
class UnitScatter:
    """The normalised scores of the teacher's heads or neurons, by layer.

    Args:
        expressiveness: One tensor per layer.
        friendliness: One tensor per layer.
    """

    expressiveness: list[Tensor]
    friendliness: list[Tensor]


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's folder.

    Args:
        folder: The folder.
        settings: Content of its ``config.yaml``.
        stages: Records of the stages that were started.
        curves: Curves of its fits, in the order of the stages.
        units: Scores of ``heads`` and ``neurons`` for the first seed; empty until they exist.
        summary: Its results; None until the run is finished.
        config: Text of its ``config.yaml``.
    """

    folder: Path
    settings: Mapping[str, Any]
    stages: Mapping[str, Record]
    curves: Sequence[Curve]
    units: Mapping[str, UnitScatter] = field(default_factory=dict)
    summary: Summary | None = None
    config: str = ""

    @property
    def task(self) -> str:
        """Name of its task."""
        return Path(str(self.settings["data"]["task"])).stem

    @property
    def rows_of_dev(self) -> str | None:
        """Digest of the content of dev, from which the results were computed; None if it is not recorded."""
        evaluated = self.stages.get(RunFolder(self.folder).evaluate.name)
        return None if evaluated is None else evaluated.settings.get(f"{CONTENT}dev")

    @property
    def teacher(self) -> str | None:
        """Digest of the finetuned teacher; None if it is not finished."""
        finetuned = self.stages.get(RunFolder(self.folder).finetune.name)
        return finetuned.result() if finetuned is not None and finetuned.finished else None

    @property
    def is_finished(self) -> bool:
        """Whether it is finished and no stage was started since."""
        return self.summary is not None and all(record.finished for record in self.stages.values())


def read_run(folder: Path) -> RunRecord:
    """Read a run.

    Args:
        folder: Such as ``runs/mrpc``.

    Returns:
        The content that exists so far.

    Raises:
        StarkError: If it is not the folder of a run, or a file is damaged.
    """
    run = RunFolder(folder)
    if not run.is_run:
        raise StarkError(f"{folder} is no run of `stark run`: it has no {run.manifest.name} with a {run.config.name}")
    manifest = Manifest.read(folder)
    config, settings = read_config(folder)
    curves = [curve for name in manifest.stages if (curve := _curve(folder, name)) is not None]
    return RunRecord(
        folder,
        settings,
        manifest.stages,
        curves,
        _units(manifest),
        Summary.read(folder) if has_output(manifest, run.summary.name) else None,
        config,
    )


def _curve(folder: Path, stage: str) -> Curve | None:
    # metrics.0.csv, metrics.1.csv, ... are from before interruptions. For repeated steps the later file counts.
    files = sorted((*(folder / stage).glob(METRICS), *(folder / stage).glob(earlier_metrics("*"))), key=_age)
    losses: dict[int, float] = {}
    scores: dict[int, float] = {}
    for file in files:
        for row in _rows(file):
            for column, known in (("train/loss", losses), ("val/score", scores)):
                if row.get(column):
                    try:
                        known[int(row["step"])] = float(row[column])
                    except (KeyError, TypeError, ValueError) as error:
                        raise StarkError(
                            f"{file} is damaged: its {column} is {row[column][:50]!r} in step {row.get('step')!r}; "
                            "remove it, it only draws training curves"
                        ) from error
    return Curve(stage, sorted(losses.items()), sorted(scores.items())) if losses or scores else None


def _age(file: Path) -> float:
    number = re.fullmatch(earlier_metrics(r"(\d+)"), file.name)
    return float(number[1]) if number else float("inf")


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(newline="", encoding="utf-8", errors="replace") as opened:
        # The fit may be writing its last line at this moment.
        yield from csv.DictReader(line for line in opened if line.endswith("\n"))


def _units(manifest: Manifest) -> dict[str, UnitScatter]:
    known = RunFolder(manifest.folder).teacher_scores.name
    scores = [name for record in manifest.stages.values() for name in record.outputs if without_seed(name) == known]
    if not scores:
        return {}
    tensors = read_output(manifest.folder, min(scores))
    if any(f"heads/{name}/normalized/0" not in tensors for name in _DRAWN):
        return {}  # the run's teachers are cut by another score
    found = {}
    for kind in ("heads", "neurons"):
        layers = sum(name.startswith(f"{kind}/{_DRAWN[0]}/normalized/") for name in tensors)
        found[kind] = UnitScatter(
            *([tensors[f"{kind}/{name}/normalized/{layer}"] for layer in range(layers)] for name in _DRAWN)
        )
    return found
