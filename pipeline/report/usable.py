"""The models of a run that could be used, with all that the verdict and its picture need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from pipeline.alternatives.features import Texts
from pipeline.deploy.model_data import config_of, data_of
from pipeline.execution.outputs import read_output
from pipeline.report.difference import DevAnswers, read_answers
from pipeline.report.marks import DENSE_INT8, DENSE_TEACHER, STUDENT_INT8, STUDENT_OF_DENSE, STUDENT_OF_SPARSE
from pipeline.report.quantised import dev_logits, quantised, why_not_quantised
from pipeline.report.reading import RunRecord
from pipeline.report.using import kept_uses, measure_uses
from pipeline.results.comparison import points_over
from pipeline.results.measurements import Use
from pipeline.results.statistics import Estimate, estimate_score
from pipeline.results.summary import Summary
from pipeline.results.tables import contenders
from pipeline.results.verdict import PRICE, Contender, Kind, decide_use, verdict_text
from pipeline.run_folder import Place, RunFolder
from stark.errors import StarkError
from stark.problems.table import problem_of

__all__ = ["Usable", "UsableModels", "usable_models", "verdict_lines"]

_QUANTISED: tuple[tuple[str, str, Kind], ...] = (
    ("teacher", DENSE_INT8, "quantised teacher"),
    ("student", STUDENT_INT8, "quantised student"),
)


@dataclass(frozen=True)
class Usable:
    """A model that could be used.

    Args:
        name: Its name in pictures and tables.
        folder: Its folder in the run.
        contender: What the verdict compares.
        score: Its score on dev with an interval for other rows (and seeds, where there are several).
        use: How it answers real rows; None if that was not measured.
    """

    name: str
    folder: str
    contender: Contender
    score: Estimate
    use: Use | None = None


@dataclass(frozen=True)
class UsableModels:
    """All of them.

    Args:
        models: The models: teacher, student, those with 8 bits, and the simple alternatives.
        notes: What could not be compared and why, a sentence each.
        measured: When they were measured, and under which load of the machine; empty if they were not.
    """

    models: list[Usable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured: str = ""


def usable_models(record: RunRecord, *, measure: bool) -> UsableModels:
    """Collect the models that could be used, and measure them.

    Args:
        record: A run.
        measure: Whether to measure what has not been measured, and to make exports with 8 bits. Otherwise only what a
            report left in the run's folder is used.

    Returns:
        The models; none if the run is not finished or an earlier version made it.
    """
    summary, notes = record.summary, list[str]()
    if summary is None:
        return UsableModels()
    if summary.over_teacher is None:
        return UsableModels(
            notes=[
                "An earlier version made this run, without simple alternatives: give its command again for a verdict."
            ]
        )
    if not summary.alternatives:
        notes.append(
            "The run has no simple alternatives to compare with: add simple to its baselines, and install the extra "
            "[baselines]."
        )
    run = RunFolder(record.folder)
    exported: dict[str, Place] = {}
    if why := why_not_quantised():
        notes.append(f"Models with 8 bits are not compared: {why}.")
    else:
        try:
            exported = quantised(run, summary, make=measure)
        except (StarkError, FileExistsError, FileNotFoundError) as error:
            notes.append(f"Models with 8 bits are not compared: {error}.")
    found = _models(record, summary, read_answers(record, summary), exported)
    return _with_uses(run, found, notes, measure=measure)


def verdict_lines(models: UsableModels, price: float | None = PRICE) -> list[str]:
    """The verdict in words.

    Args:
        models: What `usable_models` returned.
        price: Dollars per core and hour; None without costs.

    Returns:
        Sentences, the first one is the verdict; only the notes without models.
    """
    if not models.models:
        return models.notes
    found = [model.contender for model in models.models]
    return [*verdict_text(found, decide_use(found), price), *models.notes]


def _models(record: RunRecord, summary: Summary, answers: DevAnswers, exported: Mapping[str, Place]) -> list[Usable]:
    run = RunFolder(record.folder)
    tensors = read_output(record.folder, run.dev_logits.name)

    def score(predictions: Tensor) -> Estimate:
        return estimate_score(predictions, answers.labels, answers.metric)

    teacher, student, *simple = contenders(summary)
    own = STUDENT_OF_SPARSE if summary.best.teacher_sparsity else STUDENT_OF_DENSE
    found = [
        Usable(DENSE_TEACHER, run.dense_teacher.name, teacher, score(answers.teacher)),
        Usable(own, summary.best.folder, student, score(answers.student)),
    ]
    for part, name, kind in _QUANTISED:
        if part in exported:
            problem = problem_of(config_of(exported[part].path))
            said = problem.for_metrics(dev_logits(run, exported[part]))[None]
            over_teacher, over_student = (
                points_over(other, said, answers.labels, answers.metric, same_seeds=True)
                for other in (answers.teacher, answers.student)
            )
            reached = score(said)
            contender = Contender(name, kind, 100 * reached.value, over_teacher, over_student)
            found.append(Usable(name, exported[part].name, contender, reached))
    for contender, alternative in zip(simple, summary.alternatives or (), strict=True):
        reached = score(tensors[alternative.folder][None])
        found.append(Usable(contender.name, alternative.folder, contender, reached))
    return found


def _with_uses(run: RunFolder, models: list[Usable], notes: list[str], *, measure: bool) -> UsableModels:
    """Add the measurements of real rows, as far as there are any."""
    folders, uses = [model.folder for model in models], None
    try:
        if measure:
            rows = data_of(run.dense_teacher.path).labelled_texts("dev")
            uses = measure_uses(run.root, folders, Texts(rows.text_a, rows.text_b))
        else:
            uses = kept_uses(run.root, folders)
    except (StarkError, FileNotFoundError, ModuleNotFoundError) as error:
        notes = [*notes, f"The models are not measured on rows of dev: {error}."]
    if uses is None:
        return UsableModels(models, notes)
    measured = []
    for model in models:
        use = uses.of[model.folder]
        contender = replace(
            model.contender,
            milliseconds=use.p50,
            megabytes=use.megabytes,
            rows_per_second=use.rows_per_second,
            cores=use.cores,
        )
        measured.append(replace(model, contender=contender, use=use))
    return UsableModels(measured, notes, uses.time)
