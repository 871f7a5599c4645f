"""The method as stages: what each does, needs and leaves, and on which settings its result depends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from lightning_modules import model_digest
from lightning_modules.checkpoints import latest_checkpoint, read_checkpoint
from pipeline import stages
from pipeline.candidates import Candidate, candidates
from pipeline.execution import begin
from pipeline.manifest import Manifest
from pipeline.plan import CONTENT, Stage, decide
from pipeline.search import best_of, halving_epochs, survivors
from pipeline.settings import RunSettings
from pipeline.summary import read_summary, summarize
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
        self._settings, self._manifest, self._root = settings, manifest, settings.folder
        root = self._root
        self._dense, self._initial, self._trial = root / "finetune/model", root / "prune/model", root / "trial/model"
        self._scores = root / "sparsify/teacher_scores.safetensors"
        self._candidates = candidates(settings.teacher)
        batches = {**settings.group("data"), "seed": settings.seed, **_content(data, settings.scoring.split)}
        self._fitting = {**batches, **settings.group("trainer")}
        accelerator = {"trainer.accelerator": settings.trainer.accelerator}
        self._scoring = {**batches, **settings.group("scoring"), **accelerator}
        self._distilling = {**self._fitting, **settings.group("distillation")}
        self._grid = {f"teacher.{name}": value for name, value in asdict(settings.teacher).items()}
        self._encoder = {f"{CONTENT}the encoder": model_digest(settings.model_name_or_path)}
        self._dev = {f"{CONTENT}dev": data.digest("dev")}

    def stages(self) -> list[Stage]:
        """All stages, or those up to the search if it is not over."""
        todo = self._before_search()
        if self._settings.search.mode not in ("halving", "predict"):
            return [*todo, *self._after_search(self._candidates)]
        if self._settings.search.mode == "halving":
            todo += [self._cut(candidate) for candidate in self._candidates]
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
        loss = ("distillation.temperature", "distillation.distillation_weight")
        return [
            Stage(
                "finetune",
                (),
                {**self._fitting, **settings.group("finetuning"), **self._encoder},
                ("finetune/model",),
                lambda watch, resume: stages.finetune(settings, root / "finetune", watch, resume),
                is_fit=True,
            ),
            Stage(
                "prune",
                ("finetune",),
                {**settings.group("student"), **(self._scoring if prunes else {})},
                ("prune/model", *(("prune/student_scores.safetensors",) if prunes else ())),
                lambda *_: stages.cut_student(settings, root / "prune", self._dense),
            ),
            Stage(
                "trial",
                ("finetune", "prune"),
                self._distilling,
                ("trial/model",),
                lambda watch, resume: stages.distill(
                    settings, root / "trial", self._dense, self._initial, watch, resume
                ),
                is_fit=True,
            ),
            Stage(
                "sparsify",
                ("finetune", "trial"),
                {**self._scoring, **{name: self._distilling[name] for name in loss}},
                ("sparsify/teacher_scores.safetensors",),
                lambda *_: stages.score_dense_teacher(settings, root / "sparsify", self._dense, self._trial),
            ),
        ]

    def _cut(self, candidate: Candidate) -> Stage:
        """Cut a sparse teacher."""
        name = f"sparsify/{candidate.name}"
        lam, sparsity = candidate.lam, candidate.sparsity
        return Stage(
            name,
            ("finetune", "sparsify"),
            {"lam": lam, "sparsity": sparsity},
            (name,),
            lambda *_: stages.cut_teacher(self._root / name, self._dense, self._scores, lam, sparsity),
        )

    def _distillation(self, candidate: Candidate) -> Stage:
        """Distil from a sparse teacher."""
        return Stage(
            f"distill/{candidate.name}",
            (f"sparsify/{candidate.name}", "prune"),
            self._distilling,
            (f"distill/{candidate.name}/model",),
            lambda watch, resume: self._distil(candidate, watch, resume),
            is_fit=True,
        )

    def _distil(
        self, candidate: Candidate, watch: Sequence[Callback], resume: bool, pause_after: int | None = None
    ) -> None:
        teacher, folder = self._root / "sparsify" / candidate.name, self._root / "distill" / candidate.name
        stages.distill(self._settings, folder, teacher, self._initial, watch, resume, pause_after)

    def _prediction(self) -> Stage:
        """Rank the candidates without training."""
        search = self._settings.group("search")
        asked = {name: value for name, value in search.items() if name != "search.eta"}

        def work(*_: object) -> None:
            found = stages.predict_students(self._settings, self._candidates, self._dense, self._trial, self._scores)
            chosen = best_of({candidate: found[candidate].value for candidate in found})
            self._write_search([{**asdict(candidate), **asdict(found[candidate])} for candidate in found], chosen)

        needs = ("finetune", "trial", "sparsify")
        return Stage("search", needs, {**self._scoring, **self._grid, **asked}, (_SEARCH,), work)

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
        return Stage("search", needs, {**self._distilling, **self._grid, **asked}, (_SEARCH,), work)

    def _score_after(self, candidate: Candidate, epochs: int, watch: Sequence[Callback]) -> float:
        """The best score of a candidate's student in so many epochs, which are trained if they are not yet."""
        stage = self._distillation(candidate)
        folder = self._root / stage.name / "checkpoints"
        decision = decide(stage, self._manifest)
        known = _scores_of(folder) if decision.action != "run" else []
        if decision.action != "skip" and max((epoch for epoch, _ in known), default=-1) < epochs - 1:
            self._distil(candidate, watch, begin(stage, self._manifest, decision), pause_after=epochs)
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
        todo = [stage for candidate in chosen for stage in (self._cut(candidate), self._distillation(candidate))]
        students = ("trial", *(stage.name for stage in todo if stage.is_fit))
        reported = {
            **self._fitting,
            **settings.group("student"),
            "search.mode": settings.search.mode,
            **self._dev,
        }
        return [
            *todo,
            Stage(
                "evaluate",
                ("finetune", "prune", "trial", *(stage.name for stage in todo)),
                reported,
                ("summary.json",),
                lambda *_: write_json(root / "summary.json", summarize(settings, manifest, chosen)),
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


def _content(data: GLUEDataModule, split: str) -> dict[str, str]:
    """Digests of the splits that training, selection and scoring read."""
    uses_dev = data.selection == "validation" or split == "validation"
    return {f"{CONTENT}{name}": data.digest(name) for name in ("train", *(("dev",) if uses_dev else ()))}
