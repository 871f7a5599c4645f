"""The method as stages: what each does, needs and leaves, and on which settings its result depends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from lightning_modules.checkpoints import latest_checkpoint, read_checkpoint
from pipeline import stages
from pipeline.baselines import baseline_stages
from pipeline.candidates import Candidate, candidates
from pipeline.context import RunContext
from pipeline.execution import begin
from pipeline.manifest import Manifest
from pipeline.plan import Stage, decide
from pipeline.search import best_of, halving_epochs, survivors
from pipeline.settings import RunSettings
from pipeline.summary import Trained, read_summary, summarize
from storage import copy_folder, inside, write_json

__all__ = ["Method"]

_SCHEMA = 1
_SEARCH = "search.json"


class Method:
    """The stages of a run.

    Which students are distilled in the end is known when the search for the best teacher is over; :meth:`stages` are
    those that are known now.

    Args:
        settings: Of the run.
        data: Its data module, for the content of the data.
        manifest: Of the run; the search and the last stages ask what it knows.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule, manifest: Manifest) -> None:
        """Gather what the results of stages depend on."""
        self._run, self._settings, self._manifest = RunContext(settings, data), settings, manifest
        self._root = settings.folder
        self._candidates = candidates(settings.teacher)

    def stages(self) -> list[Stage]:
        """All stages, or those up to the search if it is not over."""
        todo = self._before_search()
        if self._settings.search.mode not in ("halving", "predict"):
            return [*todo, *self._after_search(self._candidates)]
        if self._settings.search.mode == "halving":
            todo += [self._run.cut(candidate) for candidate in self._candidates]
            todo.append(self._halving())
        else:
            todo.append(self._prediction())
        record = self._manifest.stages.get("search")
        if record is None or not record.finished or not (self._root / _SEARCH).is_file():
            return todo
        after = self._after_search(self._chosen())
        return [*todo, *(stage for stage in after if stage.name not in {known.name for known in todo})]

    def _before_search(self) -> list[Stage]:
        settings, root = self._settings, self._root
        prunes = settings.student.sparsity is not None
        return [
            Stage(
                "finetune",
                (),
                {**self._run.fitting, **settings.group("finetuning"), **self._run.encoder},
                ("finetune/model",),
                lambda watch, resume: stages.finetune(settings, root / "finetune", watch, resume),
                is_fit=True,
            ),
            Stage(
                "prune",
                ("finetune",),
                {**settings.group("student"), **(self._run.scoring if prunes else {})},
                ("prune/model", *(("prune/student_scores.safetensors",) if prunes else ())),
                lambda *_: stages.cut_student(settings, root / "prune", self._run.dense),
            ),
            Stage(
                "trial",
                ("finetune", "prune"),
                self._run.distilling,
                ("trial/model",),
                lambda watch, resume: stages.distill(
                    settings, root / "trial", self._run.dense, self._run.initial, watch, resume
                ),
                is_fit=True,
            ),
            Stage(
                "sparsify",
                ("finetune", "trial"),
                self._run.friendliness,
                ("sparsify/teacher_scores.safetensors",),
                lambda *_: stages.score_dense_teacher(settings, root / "sparsify", self._run.dense, self._run.trial),
            ),
        ]

    def _prediction(self) -> Stage:
        """Rank the candidates without training."""
        search = self._settings.group("search")
        asked = {name: value for name, value in search.items() if name != "search.eta"}

        def work(*_: object) -> None:
            found = stages.predict_students(
                self._settings, self._candidates, self._run.dense, self._run.trial, self._run.scores
            )
            chosen = best_of({candidate: found[candidate].value for candidate in found})
            self._write_search([{**asdict(candidate), **asdict(found[candidate])} for candidate in found], chosen)

        needs = ("finetune", "trial", "sparsify")
        return Stage("search", needs, {**self._run.scoring, **self._run.grid, **asked}, (_SEARCH,), work)

    def _halving(self) -> Stage:
        """Distil from all candidates for a few epochs, go on with the better ones, and so on."""
        search, epochs = self._settings.search, self._settings.distillation.epochs
        asked = {"search.mode": search.mode, "search.eta": search.eta}

        def work(watch: Sequence[Callback], _: bool) -> None:
            alive = list(self._candidates)
            scores: dict[Candidate, list[dict[str, float]]] = {candidate: [] for candidate in alive}
            for end in halving_epochs(len(alive), epochs, search.eta):
                found = {candidate: self._score_after(candidate, end, watch) for candidate in alive}
                for candidate, score in found.items():
                    scores[candidate].append({"epochs": end, "score": score})
                alive = best_of(found, survivors(len(alive), search.eta))
            self._write_search([{**asdict(candidate), "rounds": rounds} for candidate, rounds in scores.items()], alive)

        needs = ("prune", *(f"sparsify/{candidate.name}" for candidate in self._candidates))
        return Stage("search", needs, {**self._run.distilling, **self._run.grid, **asked}, (_SEARCH,), work)

    def _score_after(self, candidate: Candidate, epochs: int, watch: Sequence[Callback]) -> float:
        """The best score of a candidate's student in so many epochs, which are trained if they are not yet."""
        stage = self._run.distillation(candidate)
        folder = self._root / stage.name / "checkpoints"
        decision = decide(stage, self._manifest)
        known = _scores_of(folder) if decision.action != "run" else []
        if decision.action != "skip" and max((epoch for epoch, _ in known), default=-1) < epochs - 1:
            self._run.distil(candidate, watch, begin(stage, self._manifest, decision), pause_after=epochs)
            known = _scores_of(folder)
        return max((score for epoch, score in known if epoch < epochs), default=float("-inf"))

    def _write_search(self, found: list[dict[str, Any]], chosen: Sequence[Candidate]) -> None:
        mode, names = self._settings.search.mode, [candidate.name for candidate in chosen]
        write_json(self._root / _SEARCH, {"schema": _SCHEMA, "mode": mode, "candidates": found, "chosen": names})

    def _chosen(self) -> list[Candidate]:
        names = json.loads((self._root / _SEARCH).read_bytes())["chosen"]
        return [candidate for candidate in self._candidates if candidate.name in names]

    def _after_search(self, chosen: Sequence[Candidate]) -> list[Stage]:
        root, settings, manifest = self._root, self._settings, self._manifest
        todo = [
            stage for candidate in chosen for stage in (self._run.cut(candidate), self._run.distillation(candidate))
        ]
        students = ("trial", *(stage.name for stage in todo if stage.is_fit))
        compared, models = baseline_stages(self._run, chosen)
        trained = [
            Trained("dense teacher", "finetune"),
            Trained("student, not distilled", "prune"),
            Trained("student of dense teacher", "trial", teacher_sparsity=0.0),
            *(
                Trained(
                    "student of sparse teacher",
                    f"distill/{candidate.name}",
                    candidate.sparsity,
                    candidate.lam,
                    f"sparsify/{candidate.name}",
                )
                for candidate in chosen
            ),
            *models,
        ]
        names = [stage.name for stage in (*todo, *compared)]
        asked = {"search.mode": settings.search.mode, "baselines": settings.baselines}
        reported = {**self._run.fitting, **settings.group("student"), **asked, **self._run.dev}
        return [
            *todo,
            *compared,
            Stage(
                "evaluate",
                ("finetune", "prune", "trial", *names),
                reported,
                ("summary.json",),
                lambda *_: write_json(root / "summary.json", summarize(settings, manifest, trained)),
            ),
            Stage(
                "student",
                ("evaluate", *students),
                {},
                ("student",),
                lambda *_: copy_folder(inside(root, read_summary(root)["best"]["folder"]), root / "student"),
            ),
        ]


def _scores_of(folder: Path) -> list[tuple[int, float]]:
    """What a fit's validations gave, by the number of the epoch."""
    checkpoint = latest_checkpoint(folder)
    return [] if checkpoint is None else read_checkpoint(checkpoint, mapped=True)["val_scores"]
