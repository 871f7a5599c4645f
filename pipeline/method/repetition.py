"""The part of a run that is repeated with each seed: from the trial to the last distillation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pytorch_lightning import Callback

from lightning_modules.checkpoints import val_scores
from pipeline.execution.execute import begin, drop_checkpoints, run_fits
from pipeline.execution.manifest import Manifest
from pipeline.execution.outputs import read_json
from pipeline.execution.plan import Decision, decide
from pipeline.execution.stage import Stage
from pipeline.method.baselines import baseline_stages
from pipeline.method.context import RunContext
from pipeline.results.summary import Trained
from pipeline.search.candidates import Candidate, candidates
from pipeline.search.halving import best_of, halving_epochs, survivors
from pipeline.search.prediction import FOLDS
from pipeline.stages import distil, predict, sparsify
from stark.errors import StarkError
from stark.storage import write_json

__all__ = ["Repetition"]

_SCHEMA = 1


class Repetition:
    """The stages of the method with one seed.

    Args:
        run: Context that the stages share.
        manifest: The run's manifest, which the search reads.
    """

    def __init__(self, run: RunContext, manifest: Manifest) -> None:
        """Collect the candidates."""
        self._run, self._settings, self._manifest = run, run.settings, manifest
        self._folder = run.folder
        self._candidates = candidates(run.settings.teacher)

    def before_choice(self) -> list[Stage]:
        """The stages of the trial and, if there are candidates, of the scores and the search.

        Returns:
            The stages.
        """
        run, folder, mode = self._run, self._folder, self._settings.search.mode
        teacher = run.teacher.path
        trial = Stage(
            folder.trial.name,
            (folder.finetune.name, run.start_stage.name, *run.path_needs),
            {**run.distilling, **run.path_teaches},
            (folder.trial_student.name, *((folder.trial_loss.name,) if self._settings.distillation.loss else ())),
            lambda watch, resume: distil.distill(
                run.settings,
                folder.trial.path,
                teacher,
                run.start.path,
                watch,
                resume,
            ),
            is_fit=True,
        )
        if not self._candidates:
            return [trial]
        scoring = Stage(
            folder.sparsify.name,
            (folder.finetune.name, folder.trial.name),
            run.friendliness,
            (folder.teacher_scores.name,),
            lambda *_: sparsify.score_dense_teacher(
                run.settings, folder.sparsify.path, folder.dense_teacher.path, folder.trial_student.path
            ),
        )
        todo = [trial, scoring]
        if mode == "halving":
            todo += [*(run.cut(candidate) for candidate in self._candidates), self._halving()]
        elif mode == "predict":
            todo.append(self._prediction())
        return todo

    def chosen(self) -> list[Candidate] | None:
        """The candidates to distil from.

        Returns:
            Some or all candidates; None until the search has finished.
        """
        if not self._candidates or self._settings.search.mode not in ("halving", "predict"):
            return self._candidates
        record = self._manifest.stages.get(self._folder.search.name)
        if record is None or not record.finished or self._manifest.damage(self._folder.search.name):
            return None  # if its file is damaged, the search runs again
        names = read_json(self._folder.root, self._folder.found.name, _SCHEMA)["chosen"]
        return [candidate for candidate in self._candidates if candidate.name in names]

    def after_choice(self, chosen: Sequence[Candidate]) -> tuple[list[Stage], list[Trained]]:
        """The stages that distil from the chosen candidates, and those of the baselines.

        Args:
            chosen: The candidates that `chosen` returned.

        Returns:
            The stages, and all students of this seed, the dense teacher's student first.
        """
        seed = self._settings.seed
        todo: list[Stage] = []
        students = [Trained("student of dense teacher", self._folder.trial.name, seed, teacher_sparsity=0.0)]
        for item in chosen:
            cut, fit = self._run.cut(item), self._run.distillation(item)
            todo += [cut, fit]
            students.append(
                Trained("student of sparse teacher", fit.name, seed, item.sparsity, item.lam, teacher=cut.name)
            )
        compared, others = baseline_stages(self._run, chosen)
        return [*todo, *compared], [*students, *others]

    def _prediction(self) -> Stage:
        """The stage that ranks the candidates without training."""
        folder, search = self._folder, self._settings.group("search")
        asked = {name: value for name, value in search.items() if name != "search.eta"}
        asked["folds"] = FOLDS

        def work(*_: object) -> None:
            found = predict.predict_students(
                self._settings,
                self._candidates,
                folder.dense_teacher.path,
                folder.trial_student.path,
                folder.teacher_scores.path,
            )
            chosen = best_of({candidate: found[candidate].value for candidate in found})
            self._write_search([{**asdict(candidate), **asdict(found[candidate])} for candidate in found], chosen)

        return Stage(
            folder.search.name,
            (folder.finetune.name, folder.trial.name, folder.sparsify.name),
            {**self._run.friendliness, **self._run.grid, **asked},
            (folder.found.name,),
            work,
        )

    def _halving(self) -> Stage:
        """The stage of successive halving: short distillations from all candidates, longer ones from the better."""
        folder, search, epochs = self._folder, self._settings.search, self._settings.distillation.epochs
        asked = {"search.mode": search.mode, "search.eta": search.eta}

        def work(watch: Sequence[Callback], _: bool) -> None:
            alive = list(self._candidates)
            scores: dict[Candidate, list[dict[str, float]]] = {candidate: [] for candidate in alive}
            for end in halving_epochs(len(alive), epochs, search.eta):
                fits = {
                    candidate.name: fit
                    for candidate in alive
                    if (fit := self._fit_to(candidate, end, watch)) is not None
                }
                run_fits(fits, self._settings.workers, here=not self._settings.is_shared)
                found = {candidate: self._score_in(candidate, end) for candidate in alive}
                for candidate, score in found.items():
                    scores[candidate].append({"epochs": end, "score": score})
                alive = best_of(found, survivors(len(alive), search.eta))
            self._write_search([{**asdict(candidate), "rounds": rounds} for candidate, rounds in scores.items()], alive)
            for candidate in scores.keys() - set(alive):
                drop_checkpoints(self._folder.distillation(candidate.name).name, self._manifest)

        return Stage(
            folder.search.name,
            (folder.prune.name, *(folder.sparse_teacher(candidate.name).name for candidate in self._candidates)),
            {**self._run.distilling, **self._run.grid, **asked},
            (folder.found.name,),
            work,
        )

    def _fit_to(self, candidate: Candidate, epochs: int, watch: Sequence[Callback]) -> Callable[[bool], None] | None:
        """Return a function that trains a candidate's student up to an epoch; None if it was trained already."""
        stage = self._run.distillation(candidate)
        decision = decide(stage, self._manifest)
        known = [] if decision.action == "run" else self._scores_of(candidate)
        if decision.action == "skip" and not known:
            decision = Decision("run", "its scores are lost, which were in its checkpoints")
        if decision.action == "skip" or max((epoch for epoch, _ in known), default=-1) >= epochs - 1:
            return None
        resume = begin(stage, self._manifest, decision)
        return lambda lost: self._run.distil(candidate, watch, resume or lost, pause_after=epochs)

    def _score_in(self, candidate: Candidate, epochs: int) -> float:
        """The best score of a candidate's student in its first epochs, for which it has just been trained.

        Raises:
            StarkError: If its scores are lost. A candidate must not be dropped for that reason.
        """
        known = self._scores_of(candidate)
        place = self._folder.distillation(candidate.name)
        # A fit that stopped early has saved its model.
        is_complete = max((epoch for epoch, _ in known), default=-1) >= epochs - 1 or (known and place.model.is_model)
        if not is_complete:
            raise StarkError(
                f"{place.path}: the scores of its first {epochs} epochs are lost, its checkpoints are gone "
                "or damaged: give the same command again, which trains it again"
            )
        return max(score for epoch, score in known if epoch < epochs)

    def _scores_of(self, candidate: Candidate) -> list[tuple[int, float]]:
        """Validation scores of a candidate's fit, as pairs of epoch and score."""
        place = self._folder.distillation(candidate.name)
        return self._manifest.stages[place.name].val_scores or val_scores(place.checkpoints.path)

    def _write_search(self, found: list[dict[str, Any]], chosen: Sequence[Candidate]) -> None:
        mode, names = self._settings.search.mode, [candidate.name for candidate in chosen]
        write_json(self._folder.found.path, {"schema": _SCHEMA, "mode": mode, "candidates": found, "chosen": names})
