"""``summary.json``: the results of a run, with a name and a type for each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.execution.outputs import AGAIN, read_json
from pipeline.results.statistics import Estimate
from pipeline.results.typed_json import WrongValueError, plain, typed
from pipeline.run_folder import RunFolder
from stark.storage import DamagedError, write_json

__all__ = [
    "SCHEMA",
    "SCORE",
    "Alternative",
    "Asked",
    "Choice",
    "ClassScore",
    "Comparison",
    "Model",
    "Removed",
    "Size",
    "Summary",
    "Trained",
]

SCHEMA = 3
SCORE = "score"
"""Key of the mean of a task's metrics."""

# Schema 2 has no alternatives.
_EARLIER = (2,)
# Keys of the file that differ from the fields of the classes: its version, and choices, which are flat.
_SCHEMA, _CHOICES, _SEED, _STUDENTS = "schema", "best_by_method", "seed", "students"


@dataclass(frozen=True)
class Trained:
    """A trained model of a run, before it is measured.

    Args:
        name: Name that is shown.
        stage: Name of the stage that wrote the model to ``<stage>/model``.
        seed: Seed of its repetition; None for models that all repetitions share.
        teacher_sparsity: Sparsity of its teacher; None for a model without one.
        lam: Weight of expressiveness in the score of its teacher's units, if there is one.
        teacher: Folder of its sparse teacher.
        baseline: Name of its baseline; models of baselines are never chosen.
    """

    name: str
    stage: str
    seed: int | None = None
    teacher_sparsity: float | None = None
    lam: float | None = None
    teacher: str | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Asked:
    """The requested size of a model.

    Args:
        sparsity: Fraction of heads and neurons to remove; None where layers are dropped.
        layers: Number of layers to keep; None for all.
    """

    sparsity: float | None
    layers: int | None


@dataclass(frozen=True)
class Removed:
    """The fractions of units that a model lost compared with the dense model, including dropped layers.

    Args:
        heads: Fraction of the heads.
        neurons: Fraction of the FFN neurons.
    """

    heads: float
    neurons: float


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Args:
        parameters: Number of all parameters.
        encoder_parameters: Number of parameters without embeddings, pooler and classifier.
        achieved: Fractions of units that it lost.
    """

    parameters: int
    encoder_parameters: int
    achieved: Removed


@dataclass(frozen=True, kw_only=True)
class Model:
    """A measured model of a run.

    Args:
        name: Name that is shown.
        folder: The model folder, relative to the run's folder.
        asked: The requested size.
        seed: Seed of its repetition; None for models that all repetitions share.
        teacher_sparsity: Sparsity of its teacher; None for a model without one.
        lam: Weight of expressiveness in the score of its teacher's units, if there is one.
        baseline: Name of its baseline; models of baselines are never chosen.
        seconds: Seconds of its training.
        teacher_folder: Model folder of its sparse teacher, relative to the run's folder.
        selection: Metrics on the selection part, and their mean as ``score``.
        parameters: Number of all parameters.
        encoder_parameters: Number of parameters without embeddings, pooler and classifier.
        achieved: Fractions of units that it lost.
        teacher_achieved: Fractions of units that its sparse teacher lost.
        dev: Metrics on dev, and their mean as ``score``.
    """

    name: str
    folder: str
    asked: Asked
    seed: int | None
    teacher_sparsity: float | None
    lam: float | None
    baseline: str | None
    seconds: float
    teacher_folder: str | None = None
    selection: dict[str, float]
    parameters: int
    encoder_parameters: int
    achieved: Removed
    teacher_achieved: Removed | None = None
    dev: dict[str, float]

    @property
    def selection_score(self) -> float:
        """The score on the selection part."""
        return self.selection[SCORE]

    @property
    def dev_score(self) -> float:
        """The score on dev."""
        return self.dev[SCORE]


@dataclass(frozen=True)
class Choice:
    """The best student of each method with one seed.

    Args:
        seed: The seed.
        students: Model folder of the student, by method.
    """

    seed: int
    students: dict[str, str]


@dataclass(frozen=True)
class Comparison:
    """A method against a control, on the same rows and seeds.

    Args:
        control: Name of the control.
        treated: Name of the method.
        points: The difference of scores in points (hundredths), with a 95 % interval.
        mcnemar: Where a row has one class, the p-value of McNemar's test by seed.
    """

    control: str
    treated: str
    points: Estimate
    mcnemar: list[float] | None = None


@dataclass(frozen=True)
class ClassScore:
    """How well a student finds a class.

    Args:
        label: Name of the class.
        rows: Number of rows that have it.
        precision: Of the rows that the student takes for it, the fraction that has it; 0 if there are none.
        recall: Of the rows that have it, the fraction that the student takes for it; 0 if there are none.
        teacher_recall: The same of the dense teacher.
    """

    label: str
    rows: int
    precision: float
    recall: float
    teacher_recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if both are 0."""
        return 2 * self.precision * self.recall / ((self.precision + self.recall) or 1.0)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A simple alternative to a student.

    Args:
        name: Name that is shown.
        folder: Its folder, relative to the run's folder.
        rows: Number of labelled rows that it was trained on.
        strength: Strength of its fit that was chosen on the selection part: C, or 1 / alpha of ridge regression; None
            without a choice.
        megabytes: Size of its folder in MB: all that one would have to ship.
        selection: Metrics on the selection part, and their mean as ``score``.
        dev: Metrics on dev, and their mean as ``score``.
        over_teacher: Its score on dev minus the dense teacher's in points (hundredths), with a 95 % interval.
        over_student: The same minus the chosen student's, of which it is the mean over the seeds.
    """

    name: str
    folder: str
    rows: int
    strength: float | None = None
    megabytes: float
    selection: dict[str, float]
    dev: dict[str, float]
    over_teacher: Estimate
    over_student: Estimate

    @property
    def selection_score(self) -> float:
        """The score on the selection part."""
        return self.selection[SCORE]


@dataclass(frozen=True)
class Summary:
    """The results of a run.

    Args:
        task: Name of the task.
        metric: The number that models are compared by.
        seed: Seed of the run.
        search: The mode of the search.
        models: The measured models: the dense teacher, the student before it is distilled, then all students.
        best: The chosen student.
        best_by_method: The best student of each method on the selection part, for each seed.
        comparisons: The sparse teacher's student against those of the other methods.
        selection_rows: Number of rows of the selection part.
        alarms: What looks wrong, one line each with what to do.
        score_metrics: Names of the metrics whose mean is the score; None, from earlier versions, for all.
        classes: How well the chosen student finds each class of dev; None for scores.
        over_teacher: The chosen student's score on dev minus the dense teacher's in points, with a 95 % interval; None
            from earlier versions.
        alternatives: The simple alternatives; None if they were not computed.
    """

    task: str
    metric: str
    seed: int
    search: str
    models: list[Model]
    best: Model
    best_by_method: list[Choice]
    comparisons: list[Comparison]
    selection_rows: int | None = None
    alarms: list[str] | None = None
    score_metrics: list[str] | None = None
    classes: list[ClassScore] | None = None
    over_teacher: Estimate | None = None
    alternatives: list[Alternative] | None = None

    @property
    def metrics(self) -> list[str]:
        """Names of the task's metrics."""
        return [name for name in self.models[0].dev if name != SCORE]

    @property
    def metrics_of_score(self) -> list[str]:
        """Names of the metrics whose mean is the score."""
        return self.score_metrics or self.metrics

    @property
    def has_seeds(self) -> bool:
        """Whether the run had several seeds, so that its intervals hold for other seeds, too."""
        return len(self.best_by_method) > 1

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read ``summary.json``.

        Args:
            root: The run's folder.

        Returns:
            The results.

        Raises:
            DamagedError: If the file is missing, is not what the run wrote, or lacks a value or has an unknown one.
            StarkError: If the folder is no run, or another version wrote the file.
        """
        place = RunFolder(root).summary
        values = read_json(root, place.name, SCHEMA, *_EARLIER)
        try:
            return cls.of_json(values)
        except WrongValueError as error:
            raise DamagedError(f"{place.path} is no summary of a run ({error}): {AGAIN}") from error

    def write(self, root: Path) -> None:
        """Write ``summary.json``.

        Args:
            root: The run's folder.
        """
        write_json(RunFolder(root).summary.path, self.to_json())

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Self:
        """Check and name the content of the file.

        Args:
            values: The content.

        Returns:
            The results.

        Raises:
            StarkError: If a value is missing, unknown or of another type.
        """
        content = {name: value for name, value in values.items() if name != _SCHEMA}
        if isinstance(choices := content.get(_CHOICES), list):
            content[_CHOICES] = [_split(choice) for choice in choices]
        return typed(cls, content)

    def to_json(self) -> dict[str, Any]:
        """The content of the file.

        Returns:
            A value that JSON can hold.
        """
        content: dict[str, Any] = plain(self)
        content[_CHOICES] = [{_SEED: choice.seed, **choice.students} for choice in self.best_by_method]
        return {_SCHEMA: SCHEMA, **content}


def _split(choice: Any) -> Any:  # noqa: ANN401 - whatever a file contains
    if not isinstance(choice, dict):
        return choice
    students = {name: value for name, value in choice.items() if name != _SEED}
    return {**{name: value for name, value in choice.items() if name == _SEED}, _STUDENTS: students}
