"""The stage that trains the simple alternatives to a student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules import GLUEDataModule
from datamodules.batches.grouping import seeded_generator
from pipeline.alternatives.features import Encoder, Texts
from pipeline.alternatives.linear import Target
from pipeline.alternatives.table import ALTERNATIVES, train_alternative
from pipeline.execution.belongings import remove_own
from pipeline.settings import RunSettings
from pipeline.stages.scorer import scorer
from stark.storage import new_folder
from stark.telling import warn_once

__all__ = ["train_alternatives"]

_MOST_ROWS = 10_000


def train_alternatives(settings: RunSettings, folder: Path) -> None:
    """Train every alternative on the labelled rows that the teacher has, and write a folder of each.

    Of more than 10,000 rows they have 10,000, which are drawn at random; a line says so.

    Args:
        settings: The run's settings.
        folder: The folder to write.
    """
    data = GLUEDataModule(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    problem = data.task.problem
    rows, held_out = data.labelled_texts("train"), data.labelled_texts("selection")
    labels = torch.tensor(rows.labels, dtype=problem.label_dtype)
    chosen = torch.arange(len(labels))
    if len(labels) > _MOST_ROWS:
        warn_once(f"the simple alternatives are trained on {_MOST_ROWS:,} of the {len(labels):,} labelled rows")
        chosen = torch.randperm(len(labels), generator=seeded_generator("alternatives", settings.seed))[:_MOST_ROWS]
    texts = Texts(*([column[row] for row in chosen.tolist()] for column in (rows.text_a, rows.text_b) if column))
    number = problem.num_labels if problem.has_classes else 0
    weights = problem.weights(labels, settings.finetuning.class_weights) if number else None
    target = Target(
        np.array(problem.right_answers(labels)[chosen].tolist()),
        number,
        None if weights is None else dict(enumerate(weights.tolist())),
    )
    score, seen = problem.score_function(data.score_metrics), Texts(held_out.text_a, held_out.text_b)
    held_out_labels = torch.tensor(held_out.labels, dtype=problem.label_dtype)

    def shift(outputs: NDArray[Any]) -> float:
        tuned = problem.tuned(torch.from_numpy(outputs), held_out_labels, data.score_metrics)
        return -float(tuned.for_metrics(torch.zeros(1, 1)))

    encoder = Encoder(settings.model_name_or_path, data.max_length, str(scorer(settings).strategy.root_device))
    remove_own(folder)
    with new_folder(folder) as temporary:
        for name in ALTERNATIVES:
            made = train_alternative(
                name, texts, target, encoder, seen, lambda said: score(torch.from_numpy(said), held_out_labels), shift
            )
            (temporary / name).mkdir()
            made.save(temporary / name)
