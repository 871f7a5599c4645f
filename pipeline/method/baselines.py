"""Baselines as stages: students of the same shape that are made in other ways, reported and never chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.execution.plan import Stage
from pipeline.method.context import RunContext
from pipeline.results.summary import Trained
from pipeline.search.candidates import Candidate, RankedTeacher, candidates
from pipeline.search.halving import halving_epochs, survivors
from pipeline.stages import distil, sparsify
from stark.scores.rankings import SCORED, Ranking

__all__ = ["baseline_stages"]


def baseline_stages(context: RunContext, chosen: Sequence[Candidate]) -> tuple[list[Stage], list[Trained]]:
    """Stages of what the chosen candidates are compared with, and the models that they leave.

    Args:
        context: Of the run.
        chosen: Candidates; rankings are tried at their sparsities.

    Returns:
        The stages in their order, and the students.
    """
    todo: list[Stage] = []
    models: list[Trained] = []
    seed = context.settings.seed
    for name in context.settings.baselines:
        if name == "no_teacher":
            found = [_alone(context)]
            students = [Trained(name, found[-1].name, seed, baseline=name)]
        elif name == "teacher_assistant":
            found = _assistant(context)
            students = [Trained(name, found[-1].name, seed, baseline=name)]
        elif name == "restored_teacher":
            found = [_restored(context, candidate) for candidate in chosen]
            students = [
                Trained(name, stage.name, seed, candidate.sparsity, candidate.lam, baseline=name)
                for stage, candidate in zip(found, chosen, strict=True)
            ]
        elif name == "dense_teacher_best_of_k":
            found = [_dense_again(context, number) for number in range(2, _trainings(context, chosen) + 1)]
            students = [Trained(name, stage.name, seed, 0.0, baseline=name) for stage in found]
        else:
            found, students = _ranked(context, name, sorted({candidate.sparsity for candidate in chosen}))
        todo += [stage for stage in found if stage.name not in {known.name for known in todo}]
        models += students
    return todo, models


def _ranked(context: RunContext, ranking: Ranking, sparsities: Sequence[float]) -> tuple[list[Stage], list[Trained]]:
    """Sparse teachers by another ranking."""
    todo = [_score_baselines(context)] if ranking in SCORED else []
    students = []
    for sparsity in sparsities:
        teacher = RankedTeacher(ranking, sparsity)
        cut, fit = context.cut(teacher), context.distillation(teacher)
        todo += [cut, fit]
        students.append(Trained(ranking, fit.name, context.settings.seed, sparsity, teacher=cut.name, baseline=ranking))
    return todo, students


def _trainings(context: RunContext, chosen: Sequence[Candidate]) -> int:
    """How many trainings of students the search took in all, parts of them added up; the k of best of k."""
    whole = 1 + len(chosen)
    if context.settings.search.mode != "halving":
        return whole
    epochs, last = context.settings.distillation.epochs, 0
    spent, alive = epochs, len(candidates(context.settings.teacher))
    for end in halving_epochs(alive, epochs, context.settings.search.eta):
        spent += alive * (end - last)
        alive, last = survivors(alive, context.settings.search.eta), end
    return math.ceil((spent + alive * (epochs - last)) / epochs)


def _alone(context: RunContext) -> Stage:
    """The student on the labels alone."""
    name = context.name("baselines/no_teacher")
    loss = ("distillation.temperature", "distillation.distillation_weight")
    return Stage(
        name,
        ("prune",),
        {key: value for key, value in context.distilling.items() if key not in loss},
        (f"{name}/model",),
        lambda watch, resume: distil.train_alone(context.settings, context.root / name, context.initial, watch, resume),
        is_fit=True,
    )


def _dense_again(context: RunContext, number: int) -> Stage:
    """The trial with another seed."""
    name = context.name(f"baselines/dense_teacher_best_of_k/{number}")
    # Far from the seeds that people choose one after the other.
    settings = context.settings.with_seed((context.settings.seed + 1_000_003 * number) % 2**32)
    return Stage(
        name,
        ("finetune", "prune"),
        {**context.distilling, "seed": settings.seed},
        (f"{name}/model",),
        lambda watch, resume: distil.distill(
            settings, context.root / name, context.dense, context.initial, watch, resume
        ),
        is_fit=True,
    )


def _restored(context: RunContext, candidate: Candidate) -> Stage:
    """From a sparse teacher whose units come back."""
    name = context.name(f"baselines/restored_teacher/{candidate.name}")
    restoring = {"scores": str(context.scores), "lam": candidate.lam, "sparsity": candidate.sparsity}
    return Stage(
        name,
        ("finetune", context.name("sparsify"), "prune"),
        {**context.distilling, "lam": candidate.lam, "sparsity": candidate.sparsity},
        (f"{name}/model",),
        lambda watch, resume: distil.distill(
            context.settings, context.root / name, context.dense, context.initial, watch, resume, restoring=restoring
        ),
        is_fit=True,
    )


def _assistant(context: RunContext) -> list[Stage]:
    """From the dense teacher to the student by way of a model of a size between them."""
    cut, middle, end = (
        context.name(f"baselines/{name}") for name in ("assistant_cut", "assistant", "teacher_assistant")
    )
    root, settings = context.root, context.settings
    initial, student_scores = root / cut, root / "prune/student_scores.safetensors"
    return [
        Stage(
            cut,
            ("finetune", "prune"),
            settings.group("student"),
            (cut,),
            lambda *_: sparsify.cut_assistant(settings, initial, context.dense, student_scores),
        ),
        Stage(
            middle,
            ("finetune", cut),
            context.distilling,
            (f"{middle}/model",),
            lambda watch, resume: distil.distill(settings, root / middle, context.dense, initial, watch, resume),
            is_fit=True,
        ),
        Stage(
            end,
            (middle, "prune"),
            context.distilling,
            (f"{end}/model",),
            lambda watch, resume: distil.distill(
                settings, root / end, root / middle / "model", context.initial, watch, resume
            ),
            is_fit=True,
        ),
    ]


def _score_baselines(context: RunContext) -> Stage:
    """Score the teacher for the rankings that the method's scores do not give."""
    folder = context.name("sparsify")
    return Stage(
        context.name("score_baselines"),
        ("finetune", context.name("trial")),
        context.friendliness,
        (f"{folder}/baseline_scores.safetensors",),
        lambda *_: sparsify.score_baselines(context.settings, context.root / folder, context.dense, context.trial),
    )
