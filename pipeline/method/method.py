"""The method as stages: what each does, needs and leaves, and on which settings its result depends."""

from __future__ import annotations

from collections.abc import Sequence

from datamodules import GLUEDataModule
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import Stage
from pipeline.method.context import RunContext
from pipeline.method.repetition import Repetition
from pipeline.results.summary import LOGITS, Trained, read_summary
from pipeline.settings import RunSettings
from pipeline.stages import finetune, prune
from pipeline.stages.evaluate import summarize
from stark.storage import copy_folder, inside, write_json

__all__ = ["Method"]


class Method:
    """The stages of a run.

    Which students are distilled in the end is known when the search for the best teacher is over; `stages` are
    those that are known now.

    Args:
        settings: Of the run.
        data: Its data module, for the content of the data.
        manifest: Of the run; the search and the last stages ask what it knows.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule, manifest: Manifest) -> None:
        """Gather what the results of stages depend on."""
        # Of the rows that were read for the plan: stages read the files again, which may have changed meanwhile.
        settings = settings.expecting({split: data.digest(split) for split in ("train", "dev")})
        self._settings, self._manifest, self._root = settings, manifest, settings.folder
        self._first = RunContext(settings, data)
        self._repetitions = [
            Repetition(RunContext(settings.with_seed(seed), data, f"seed_{seed}/"), manifest) for seed in settings.seeds
        ] or [Repetition(self._first, manifest)]

    def stages(self) -> list[Stage]:
        """All stages, as far as they are known; what follows a search is known when it is over.

        Returns:
            The stages in their order.
        """
        todo, complete = self._shared(), True
        trained = [Trained("dense teacher", "finetune"), Trained("student, not distilled", "prune")]
        for repetition in self._repetitions:
            todo += repetition.before_choice()
            if (chosen := repetition.chosen()) is None:
                complete = False
                continue
            known = {stage.name for stage in todo}  # halving has cut the teachers
            after, students = repetition.after_choice(chosen)
            todo += [stage for stage in after if stage.name not in known]
            trained += students
        return [*todo, *self._end(trained)] if complete else todo

    def _shared(self) -> list[Stage]:
        """What is done once, whatever the number of seeds."""
        settings, root, first = self._settings, self._root, self._first
        prunes = settings.student.sparsity is not None
        return [
            Stage(
                "finetune",
                (),
                {**first.fitting, **settings.group("finetuning"), **first.encoder},
                ("finetune/model",),
                lambda watch, resume: finetune.finetune(
                    settings, root / "finetune", watch, resume, first.expected_encoder()
                ),
                is_fit=True,
            ),
            Stage(
                "prune",
                ("finetune",),
                {**settings.group("student"), **(first.scoring if prunes else {})},
                ("prune/model", *(("prune/student_scores.safetensors",) if prunes else ())),
                lambda *_: prune.cut_student(settings, root / "prune", first.dense),
            ),
        ]

    def _end(self, trained: Sequence[Trained]) -> list[Stage]:
        """Measure everything and choose."""
        root, settings, manifest, first = self._root, self._settings, self._manifest, self._first
        asked = {"search.mode": settings.search.mode, "seeds": settings.seeds, "baselines": settings.baselines}
        own = [item.stage for item in trained if item.seed is not None and item.baseline is None]
        cut = [item.teacher for item in trained if item.teacher is not None]
        return [
            Stage(
                "evaluate",
                (*(item.stage for item in trained), *cut),
                {**first.fitting, **settings.group("student"), **asked, **first.dev},
                ("summary.json", LOGITS),
                lambda *_: write_json(root / "summary.json", summarize(settings, manifest, trained)),
            ),
            Stage(
                "student",
                ("evaluate", *own),
                {},
                ("student",),
                lambda *_: copy_folder(inside(root, read_summary(root)["best"]["folder"]), root / "student"),
            ),
        ]
