"""The stages of baselines: students of the same shape that are made in other ways, reported but never chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pipeline.execution.stage import Stage
from pipeline.method.context import LOSS_SETTINGS, RunContext
from pipeline.results.summary import Trained
from pipeline.search.candidates import Candidate, RankedTeacher, candidates
from pipeline.search.halving import halving_epochs, survivors
from pipeline.settings import SIMPLE
from pipeline.stages import distil, sparsify
from pipeline.stages.ranking import extra_parts

__all__ = ["baseline_stages"]


def baseline_stages(context: RunContext, chosen: Sequence[Candidate]) -> tuple[list[Stage], list[Trained]]:
    """The stages of the baselines with which the chosen candidates are compared, and their students.

    Args:
        context: The run's context.
        chosen: The chosen candidates; baselines with other scores use their sparsities.

    Returns:
        The stages in their order, and the students.
    """
    todo: list[Stage] = []
    models: list[Trained] = []
    seed = context.settings.seed
    for name in context.settings.baselines:
        if name == SIMPLE:
            continue  # no students, see `Method`
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


def _ranked(context: RunContext, ranking: str, sparsities: Sequence[float]) -> tuple[list[Stage], list[Trained]]:
    """Stages of sparse teachers that are cut by another score, and of their students."""
    todo = [_score_baselines(context)] if ranking in extra_parts(context.settings) else []
    students = []
    for sparsity in sparsities:
        teacher = RankedTeacher(ranking, sparsity)
        cut, fit = context.cut(teacher), context.distillation(teacher)
        todo += [cut, fit]
        students.append(Trained(ranking, fit.name, context.settings.seed, sparsity, teacher=cut.name, baseline=ranking))
    return todo, students


def _trainings(context: RunContext, chosen: Sequence[Candidate]) -> int:
    """The k of best of k: number of student trainings that the search cost, partial ones added up and rounded up."""
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
    """The stage that trains the student on the labels alone."""
    folder, settings = context.folder, context.settings
    place = folder.baseline("no_teacher")
    return Stage(
        place.name,
        (context.start_stage.name,),
        {key: value for key, value in context.distilling.items() if key not in LOSS_SETTINGS},
        (place.model.name,),
        lambda watch, resume: distil.train_alone(settings, place.path, context.start.path, watch, resume),
        is_fit=True,
    )


def _dense_again(context: RunContext, number: int) -> Stage:
    """The stage that repeats the trial with another seed."""
    folder = context.folder
    place = folder.baseline(f"dense_teacher_best_of_k/{number}")
    # A large step, because users often choose consecutive seeds.
    settings = context.settings.with_seed((context.settings.seed + 1_000_003 * number) % 2**32)
    teacher = context.teacher.path
    return Stage(
        place.name,
        (folder.finetune.name, context.start_stage.name, *context.path_needs),
        {**context.distilling, **context.path_teaches, "seed": settings.seed},
        (place.model.name,),
        lambda watch, resume: distil.distill(settings, place.path, teacher, context.start.path, watch, resume),
        is_fit=True,
    )


def _restored(context: RunContext, candidate: Candidate) -> Stage:
    """The stage that distils from a sparse teacher whose units are restored during the fit."""
    folder = context.folder
    place = folder.baseline(f"restored_teacher/{candidate.name}")
    teacher = context.settings.teacher
    restoring = {
        "scores": str(folder.teacher_scores.path),
        "lam": candidate.lam,
        "sparsity": candidate.sparsity,
        "score": teacher.score,
        "budget": teacher.budget,
    }
    return Stage(
        place.name,
        (folder.finetune.name, folder.sparsify.name, context.start_stage.name),
        {**context.distilling, **context.cutting(candidate)},
        (place.model.name,),
        lambda watch, resume: distil.distill(
            context.settings,
            place.path,
            folder.dense_teacher.path,
            context.start.path,
            watch,
            resume,
            restoring=restoring,
        ),
        is_fit=True,
    )


def _assistant(context: RunContext) -> list[Stage]:
    """The stages that distil the dense teacher into a model of intermediate size, and that model into the student."""
    folder, settings = context.folder, context.settings
    cut, middle, end = (folder.baseline(name) for name in ("assistant_cut", "assistant", "teacher_assistant"))
    dense, cut_already = folder.dense_teacher.path, replace(settings, student=replace(settings.student, cuts=1))
    return [
        Stage(
            cut.name,
            (folder.finetune.name, folder.prune.name),
            {**settings.group("student"), **context.plugins, **(context.refitting if settings.student.refit else {})},
            (cut.name,),
            lambda *_: sparsify.cut_assistant(settings, cut.path, dense, folder.student_scores.path),
        ),
        Stage(
            middle.name,
            (folder.finetune.name, cut.name),
            context.distilling,
            (middle.model.name,),
            lambda watch, resume: distil.distill(cut_already, middle.path, dense, cut.path, watch, resume),
            is_fit=True,
        ),
        Stage(
            end.name,
            (middle.name, context.start_stage.name),
            context.distilling,
            (end.model.name,),
            lambda watch, resume: distil.distill(
                settings, end.path, middle.model.path, context.start.path, watch, resume
            ),
            is_fit=True,
        ),
    ]


def _score_baselines(context: RunContext) -> Stage:
    """The stage that scores the teacher for baselines which need other scores than the method's."""
    folder = context.folder
    return Stage(
        folder.score_baselines.name,
        (folder.finetune.name, folder.trial.name),
        {**context.friendliness, "baselines": list(extra_parts(context.settings))},
        (folder.baseline_scores.name,),
        lambda *_: sparsify.score_baselines(
            context.settings, folder.sparsify.path, folder.dense_teacher.path, folder.trial_student.path
        ),
    )
