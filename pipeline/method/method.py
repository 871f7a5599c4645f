"""The method as stages: the work, inputs and outputs of each, and the settings on which its result depends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datamodules import GLUEDataModule
from datamodules.sources.answers import ANSWERS, digest_of_answers
from pipeline.alternatives.table import why_left_out
from pipeline.execution.manifest import Manifest
from pipeline.execution.stage import Stage
from pipeline.method.context import RunContext
from pipeline.method.path import path_stages
from pipeline.method.repetition import Repetition
from pipeline.results.summary import Summary, Trained
from pipeline.run_folder import RunFolder
from pipeline.settings import SIMPLE, RunSettings
from pipeline.stages import alternatives, finetune, prune
from pipeline.stages.evaluate import summarize
from stark.storage import copy_folder, inside

__all__ = ["Method"]


class Method:
    """The stages of a run.

    Until the search for the best teacher has finished, it is unknown which students will be distilled. `stages` returns
    the stages that are known so far.

    Args:
        settings: The run's settings.
        data: The run's data module, for the content of the data.
        manifest: The run's manifest, which the search and the last stages read.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule, manifest: Manifest) -> None:
        """Collect what the results of stages depend on."""
        # Digests of the rows that were read for the plan. Stages read the data files again, and refuse them if they
        # have changed meanwhile.
        settings = settings.expecting({**data.contents(), **_answers(settings)})
        self._settings, self._manifest, self._folder = settings, manifest, RunFolder(settings.folder)
        self._first = RunContext(settings, data)
        self._repetitions = [
            Repetition(RunContext(settings.with_seed(seed), data, is_repetition=True), manifest)
            for seed in settings.seeds
        ] or [Repetition(self._first, manifest)]

    def stages(self) -> list[Stage]:
        """All stages that are known so far; those after a search are known when it has finished.

        Returns:
            The stages in their order.
        """
        todo, complete, folder = self._shared(), True, self._folder
        trained = [
            Trained("dense teacher", folder.finetune.name),
            Trained("student, not distilled", folder.prune.name),
        ]
        for repetition in self._repetitions:
            todo += repetition.before_choice()
            if (chosen := repetition.chosen()) is None:
                complete = False
                continue
            known = {stage.name for stage in todo}  # halving has already listed the stages that cut the teachers
            after, students = repetition.after_choice(chosen)
            todo += [stage for stage in after if stage.name not in known]
            trained += students
        return [*todo, *self._end(trained)] if complete else todo

    def _shared(self) -> list[Stage]:
        """The stages that run once, independent of the number of seeds."""
        settings, folder, first = self._settings, self._folder, self._first
        before = first.before_student.path
        prunes = settings.student.sparsity is not None
        return [
            Stage(
                folder.finetune.name,
                (),
                {**first.fitting, **settings.group("finetuning"), **first.encoder},
                (folder.dense_teacher.name,),
                lambda watch, resume: finetune.finetune(
                    settings, folder.finetune.path, watch, resume, first.expected_encoder()
                ),
                is_fit=True,
            ),
            *path_stages(first),
            Stage(
                folder.prune.name,
                (folder.finetune.name, *(folder.on_path(sparsity).name for sparsity in settings.student.path[-1:])),
                {**settings.group("student"), **(first.cutting_student if prunes else {}), **first.factorising},
                (folder.initial_student.name, *((folder.student_scores.name,) if prunes else ())),
                lambda *_: prune.cut_student(settings, folder.prune.path, folder.dense_teacher.path, before),
            ),
        ]

    def _simple(self) -> list[Stage]:
        """The stage of the simple alternatives, unless they are not asked for or their extra is missing."""
        settings, folder, first = self._settings, self._folder, self._first
        if SIMPLE not in settings.baselines or why_left_out():
            return []
        return [
            Stage(
                folder.alternatives.name,
                (),
                {**first.alternatives, **first.encoder},
                (folder.alternatives.name,),
                lambda *_: alternatives.train_alternatives(settings, folder.alternatives.path),
            )
        ]

    def _end(self, trained: Sequence[Trained]) -> list[Stage]:
        """The last stages, which train the alternatives, evaluate all models and copy the best student."""
        folder, settings, manifest, first = self._folder, self._settings, self._manifest, self._first
        asked: dict[str, Any] = {"search.mode": settings.search.mode, "seeds": settings.seeds}
        asked |= {"baselines": settings.baselines, "finetuning.epochs": settings.finetuning.epochs}
        own = [item.stage for item in trained if item.seed is not None and item.baseline is None]
        cut = [item.teacher for item in trained if item.teacher is not None]
        simple = self._simple()
        return [
            *simple,
            Stage(
                folder.evaluate.name,
                (*(item.stage for item in trained), *cut, *(stage.name for stage in simple)),
                {**first.fitting, **settings.group("student"), **asked, **first.dev},
                (folder.summary.name, folder.dev_logits.name),
                lambda *_: summarize(settings, manifest, trained, simple=bool(simple)).write(folder.root),
            ),
            Stage(
                folder.student.name,
                (folder.evaluate.name, *own),
                {},
                (folder.student.name,),
                lambda *_: copy_folder(inside(folder.root, Summary.read(folder.root).best.folder), folder.student.path),
            ),
        ]


def _answers(settings: RunSettings) -> dict[str, str]:
    files = settings.distillation.teacher_answers
    return {} if files is None else {ANSWERS: digest_of_answers(files)}
