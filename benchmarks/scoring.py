"""Sparse teachers for five values of lam: one scoring for all of them against one run of the released script for each.

For each lam, the plain way scores the units (gradients of all weights, two backward passes per batch) and then
evaluates the teacher at ten sparsities on the same rows. Our way scores once and mixes the scores for each lam. Both
result in the masks of each lam.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.data import LENGTHS, write_task
from benchmarks.measuring import Sample, alternate, header, hold, in_child, ratio_lines, report, stopwatch
from benchmarks.models import write_models
from benchmarks.plain import as_released_, check_levels, padded, plain_masks, plain_scores
from datamodules import GLUEDataModule
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier
from stark.pruning import choose_units
from stark.scores.importance import normalize_per_layer
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units

__all__ = ["main"]

LAMS = (0.0, 0.25, 0.5, 0.75, 1.0)
SPARSITY = 0.3
_LOSSES = ("expressiveness", "friendliness")


def _data(folder: Path, task: str, batch_size: int) -> GLUEDataModule:
    teacher, cache = str(folder / task / "teacher"), str(folder / "cache")
    data = GLUEDataModule(task, str(folder), teacher, batch_size=batch_size, cache_dir=cache)
    data.prepare_data()
    data.setup("test")
    return data


def _plain(folder: Path, task: str, batch_size: int) -> Sample:
    batches = padded(
        _data(folder, task, batch_size).scoring_dataloader("validation", grouped=False), batch_size, shuffled=False
    )
    teacher, student = (as_released_(load_classifier(folder / task / name)) for name in ("teacher", "student"))
    with stopwatch() as sample:
        for lam in LAMS:
            scores = plain_scores(teacher, batches, student)
            check_levels(teacher, scores, batches, lam)
            masks = plain_masks(scores, SPARSITY, lam)
    assert all(masks)
    return _with_scores(sample, scores)


def _ours(folder: Path, task: str, batch_size: int) -> Sample:
    data = _data(folder, task, batch_size)
    teacher, student = (load_classifier(folder / task / name) for name in ("teacher", "student"))
    with stopwatch() as sample:
        against = Distilled(student, SoftTargets())
        scores = score_units(teacher, data.scoring_dataloader("validation"), [Knowledgeableness()], against)
        masks = [choose_units(teacher, Knowledgeableness(lam), scores, SPARSITY) for lam in LAMS]
    assert all(masks)
    # Scores with the released code's reduction, which depends on the batches; only used to compare the numbers.
    batches = data.scoring_dataloader("validation", grouped=False)
    same = score_units(teacher, batches, [Knowledgeableness()], against, "batch")
    return _with_scores(sample, (same.heads, same.neurons))


def _with_scores(sample: Sample, kinds: Iterable[Mapping[str, list[Tensor]]]) -> Sample:
    normalized = [normalize_per_layer(kind[loss]) for kind in kinds for loss in _LOSSES]
    sample.values["scores"] = torch.cat([score for layers in normalized for score in layers]).tolist()
    return sample


def main() -> None:
    """Measure every task; in a child process, measure one way only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["rte", "sst2"], choices=list(LENGTHS))
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        way = _plain if options.way == "plain" else _ours
        hold(way(options.folder, options.tasks[0], options.batch_size))
        return
    print(header(options.threads), flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in options.tasks:
            write_task(folder, task, rows=64, dev_rows=options.rows)
            write_models(folder / task, tuple(GLUEDataModule(task, name).label_names))
            _data(folder, task, options.batch_size)  # tokenises here, so that neither way does
            lines += _compare(folder, task, options)
    print("\n".join(lines))


def _compare(folder: Path, task: str, options: argparse.Namespace) -> list[str]:
    def way(name: str) -> Sample:
        asked = ["--way", name, "--folder", str(folder), "--tasks", task, "--batch_size", str(options.batch_size)]
        return in_child("benchmarks.scoring", asked, options.threads)

    samples = alternate({"plain": lambda: way("plain"), "ours": lambda: way("ours")}, options.rounds)
    print(f"\n{task}: {options.rows} rows in batches of {options.batch_size}, {len(LAMS)} values of lam")
    for name, found in samples.items():
        print(report(name, found), flush=True)
    plain, ours = samples["plain"], samples["ours"]
    wanted, scores = (torch.tensor(way[0].values["scores"]) for way in (plain, ours))
    if not torch.allclose(wanted, scores, rtol=1e-3, atol=1e-5):
        raise RuntimeError(f"{task}: scores differ from the plain way's by {(wanted - scores).abs().max():.2g}")
    return ratio_lines(f"scoring/{task}", plain, ours)


if __name__ == "__main__":
    main()
