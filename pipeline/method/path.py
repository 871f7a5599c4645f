"""The stages of a path: students of growing sparsity, each of which is cut from the one before it."""

from __future__ import annotations

from itertools import pairwise

from pipeline.execution.stage import Stage
from pipeline.method.context import RunContext
from pipeline.run_folder import STUDENT_SCORES
from pipeline.stages import distil, prune

__all__ = ["path_stages"]


def path_stages(context: RunContext) -> list[Stage]:
    """The stages that cut and distil the students on the path; the student is cut from the last of them.

    Each is distilled like the student itself. They are shared by all seeds of a run.

    Args:
        context: The run's context.

    Returns:
        The stages in their order; none without a path.
    """
    pairs = pairwise([None, *context.settings.student.path])
    return [stage for before, sparsity in pairs if sparsity is not None for stage in _step(context, before, sparsity)]


def _step(context: RunContext, before: float | None, sparsity: float) -> list[Stage]:
    """The two stages of a student on the path, and of which sparsity the one before it is, if there is one."""
    settings, folder = context.settings, context.folder
    dense, cut, fit = folder.dense_teacher.path, folder.cut_on_path(sparsity), folder.on_path(sparsity)
    last = folder.finetune if before is None else folder.on_path(before)
    start = last.model.path
    teacher = start if settings.student.path_teaches else dense
    return [
        Stage(
            cut.name,
            tuple(dict.fromkeys((folder.finetune.name, last.name))),
            {**settings.group("student"), **context.cutting_student, **context.factorising},
            (cut.model.name, (cut / STUDENT_SCORES).name),
            lambda *_: prune.cut_student(settings, cut.path, dense, start, sparsity),
        ),
        Stage(
            fit.name,
            tuple(dict.fromkeys((folder.finetune.name, last.name, cut.name))),
            {**context.distilling, **context.path_teaches},
            (fit.model.name,),
            lambda watch, resume: distil.distill(settings, fit.path, teacher, cut.model.path, watch, resume),
            is_fit=True,
        ),
    ]
