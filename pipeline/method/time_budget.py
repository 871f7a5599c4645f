"""`stark run --time`: the number of distillation steps that fits into a time, from measured steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
import yaml
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import PreTrainedModel

from callbacks.epoch_lines import duration_text
from datamodules import GLUEDataModule
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import plan
from pipeline.method.method import Method
from pipeline.run_folder import RunFolder
from pipeline.settings import RunSettings
from pipeline.stages.loss import loss_of
from pipeline.stages.ranking import budget_of
from pipeline.stages.scorer import scorer
from stark.encoders.layer_dropping import drop_layers
from stark.errors import StarkError
from stark.forward.classifying import Outputs, classify, outputs_of
from stark.forward.lean_training import cheap_dropout_, use_rows_
from stark.losses.loss import PROGRESS
from stark.model_folders.model_folder import load_classifier
from stark.pruning import prune_
from stark.schedules.gradual import uncut_share
from stark.scores.random import Random
from stark.scores.unit_scores import UnitScores

__all__ = ["Costs", "measure_costs", "steps_for", "steps_in_time", "with_steps"]

# Batches that are measured after those that warm up.
_WARM, _MEASURED = 3, 20
# The share of the time for everything but steps: starts, checkpoints, evaluations, scoring.
_REST = 0.15
# Fewer steps than this teach a student nothing.
_LEAST = 50


def steps_in_time(settings: RunSettings, data: GLUEDataModule, manifest: Manifest, seconds: float) -> tuple[int, str]:
    """The length of a run's distillations for a time; that of a run that has begun is kept.

    Args:
        settings: The run's settings.
        data: The run's data module, set up.
        manifest: The run's manifest.
        seconds: The time for the whole run.

    Returns:
        The number of steps, and a sentence that explains it.

    Raises:
        StarkError: If the time is too short.
    """
    folder = RunFolder(settings.folder)
    trial = (folder.of_seed(settings.seeds[0]) if settings.seeds else folder).trial.name
    begun = manifest.stages.get(trial)
    if begun is not None and (steps := begun.settings.get("distillation.steps")) is not None:
        return steps, f"the run has begun with distillations of {steps:,} steps; for another time give another --name"
    every = GLUEDataModule(
        model_name_or_path=settings.model_name_or_path, seed=settings.seed, use_unlabelled=True, **settings.data
    )
    every.setup("fit")
    todo = Method(settings, data, manifest).stages()
    fits = [stage.name for stage in todo if stage.is_fit and stage.name != folder.finetune.name]
    # The search by prediction names its distillation only when it has ended.
    unknown = len(settings.seeds or [settings.seed]) if settings.search.mode == "predict" else 0
    per_epoch = -(-len(data.train_dataloader()) // settings.trainer.accumulate_grad_batches)
    first = settings.finetuning.steps or settings.finetuning.epochs * per_epoch
    if plan(todo, manifest)[folder.finetune.name].action == "skip":
        first = 0
    teachers = 1 + sum(stage.name.startswith(f"{folder.sparsify.name}/") for stage in todo)
    rows = len(every.scoring_dataloader("train"))
    path = [sparsity / (settings.student.sparsity or 1) for sparsity in settings.student.path]
    costs = measure_costs(settings, every).with_path(path, len(fits) + unknown)
    return steps_for(seconds, costs, first, len(fits) + unknown, teachers * rows)


def with_steps(config: str, steps: int) -> str:
    r"""A run's settings with the length of its distillations.

    Args:
        config: The settings as YAML.
        steps: Steps of each distillation.

    Returns:
        YAML.

    Examples:
        >>> with_steps("distillation: {steps: null, epochs: 3}", 500)
        'distillation:\n  steps: 500\n  epochs: 3\n'
    """
    values = yaml.safe_load(config)
    values["distillation"]["steps"] = steps
    return yaml.safe_dump(values, sort_keys=False)


@dataclass(frozen=True)
class Costs:
    """Measured seconds of one batch.

    Args:
        finetuning: A training step of the teacher.
        distillation: A training step of the student, with a teacher whose outputs are stored.
        teacher: A forward pass of the teacher.
        uncut: A training step of a student that is not cut yet; measured where there are larger students.
    """

    finetuning: float
    distillation: float
    teacher: float
    uncut: float | None = None

    def with_path(self, path: Sequence[float], distillations: int) -> Costs:
        """The costs with the mean of all distillations' steps, where larger students are distilled on the way.

        Args:
            path: How much of what the student loses each student on the path loses, in [0, 1].
            distillations: Number of all distillations.

        Examples:
            >>> Costs(0.5, 0.1, 0.05, uncut=0.3).with_path([0.5], 2).distillation
            0.15
        """
        if self.uncut is None:
            return self
        more = sum((1 - lost) * (self.uncut - self.distillation) for lost in path)
        return replace(self, distillation=self.distillation + more / distillations)


def steps_for(
    seconds: float, costs: Costs, finetuning_steps: int, distillations: int, teacher_batches: int
) -> tuple[int, str]:
    """The number of steps of each distillation that fits into a time.

    Args:
        seconds: The time for the whole run.
        costs: Measured costs.
        finetuning_steps: Steps of the finetuning; 0 if it is finished.
        distillations: Number of distillations.
        teacher_batches: Number of batches for which the teacher's outputs are computed.

    Returns:
        The number, rounded down to two digits, and a sentence that explains it.

    Raises:
        StarkError: If the time is too short.

    Examples:
        >>> steps_for(3600, Costs(0.5, 0.1, 0.05), finetuning_steps=1000, distillations=2, teacher_batches=400)
        (12000, 'finetuning about 8 min, 2 distillations of 12,000 steps about 40 min (0.1 s a step)')
    """
    before = finetuning_steps * costs.finetuning + teacher_batches * costs.teacher
    found = int(((1 - _REST) * seconds - before) / (distillations * costs.distillation))
    if found < _LEAST:
        needed = (before + distillations * _LEAST * costs.distillation) / (1 - _REST)
        raise StarkError(
            f"time is {duration_text(seconds)}: this run takes at least about {duration_text(needed)} "
            f"({finetuning_steps:,} steps of finetuning, and {distillations} distillations): give more, or fewer epochs"
        )
    digits = 10 ** (len(str(found)) - 2)
    steps = found // digits * digits
    every = "1 distillation" if distillations == 1 else f"{distillations} distillations"
    first = "" if not finetuning_steps else f"finetuning about {duration_text(finetuning_steps * costs.finetuning)}, "
    took = duration_text(distillations * steps * costs.distillation)
    return steps, f"{first}{every} of {steps:,} steps about {took} ({costs.distillation:.2g} s a step)"


def measure_costs(settings: RunSettings, data: GLUEDataModule) -> Costs:
    """Measure steps of a run on its own rows, with the shape of its student, or their mean if that changes.

    Args:
        settings: The run's settings.
        data: The data module of its distillations, set up.

    Returns:
        The costs. They do not contain what Lightning does around a step, about a millisecond.
    """
    device = scorer(settings).strategy.root_device
    batches = [
        {name: tensor.to(device) for name, tensor in batch.items()}
        for batch in islice(data.train_dataloader(), _WARM + _MEASURED)
    ]

    def load() -> PreTrainedModel:
        model = load_classifier(settings.model_name_or_path, label_names=data.label_names, kind=data.kind)
        return nn.Module.to(model, device)

    teacher, trained, student, uncut = load(), load(), _cut(settings, load()), load()
    for model in (trained, student, uncut):
        use_rows_(model, data.train_token_ids())
    problem, loss = data.task.problem, loss_of(settings.distillation)
    loss.prepare_(student, teacher)
    nn.Module.to(loss, device)
    clip, mixed = settings.trainer.gradient_clip_val, _autocast(settings, device)
    told: list[Outputs] = []

    def ask(number: int) -> None:
        with torch.no_grad(), mixed():
            told.append(outputs_of(teacher, batches[number], loss.teacher_layers, loss.teacher_projections))

    def finetune(number: int) -> Tensor:
        return problem.task_loss(classify(trained, batches[number]), batches[number]["labels"])

    def distil(student: PreTrainedModel, number: int) -> Tensor:
        said = outputs_of(student, batches[number], loss.student_layers, loss.student_projections)
        found: Tensor = loss(problem, said, told[number], {**batches[number], PROGRESS: torch.zeros((), device=device)})
        return found

    asking = _seconds(ask, len(batches), device)
    finetuning = _seconds(_training(finetune, [trained], clip, mixed), len(batches), device)
    distilling = _seconds(_training(partial(distil, student), [student, loss], clip, mixed), len(batches), device)
    before = None
    if settings.student.is_gradual or settings.student.path:
        before = _seconds(_training(partial(distil, uncut), [uncut, loss], clip, mixed), len(batches), device)
    if settings.student.is_gradual and before is not None:
        distilling += uncut_share(settings.student.cuts, settings.student.cuts_end) * (before - distilling)
    also = asking if loss.teacher_projections else 0.0
    return Costs(finetuning, distilling + also, asking, None if before is None else before + also)


def _cut(settings: RunSettings, model: PreTrainedModel) -> PreTrainedModel:
    """Give a model the size of the run's student; which units it keeps hardly changes its cost."""
    student = settings.student
    if student.layers is not None:
        return drop_layers(model, student.layers, student.which)
    assert student.sparsity is not None  # StudentSettings checks it
    budget, none = budget_of(settings, "student"), UnitScores({}, {}, "")
    return prune_(model, Random(), none, student.sparsity, budget, student.round_to)


def _autocast(settings: RunSettings, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    kind = kinds.get(settings.trainer.precision)
    return nullcontext if kind is None else lambda: torch.autocast(device.type, kind)


def _training(
    loss_of_batch: Callable[[int], Tensor],
    modules: Sequence[nn.Module],
    clip: float,
    mixed: Callable[[], AbstractContextManager[None]],
) -> Callable[[int], None]:
    """A training step as a function of the batch's number."""
    for module in modules:
        cheap_dropout_(module.train())
    parameters = [parameter for module in modules for parameter in module.parameters()]
    optimizer = AdamW(parameters, lr=0.0, fused=True)

    def step(number: int) -> None:
        with mixed():
            loss = loss_of_batch(number)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _seconds(work: Callable[[int], object], count: int, device: torch.device) -> float:
    """Mean seconds of a batch, without those that warm up."""
    warm = min(_WARM, count - 1)
    start = 0.0
    for number in range(count):
        if number == warm:
            _wait(device)
            start = time.perf_counter()
        work(number)
    _wait(device)
    return (time.perf_counter() - start) / (count - warm)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
