"""The places of a run's files, folders and stages. Their names are spelled in no other module."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from stark.storage import is_file

__all__ = [
    "ALTERNATIVES",
    "BASELINES",
    "BASELINE_SCORES",
    "CHECKPOINTS",
    "DISTILL",
    "FIT_CONFIG",
    "LOSS_WEIGHTS",
    "MAJORITY",
    "METRICS",
    "MODEL",
    "OUTPUT_LOG",
    "PATH",
    "STAGE_CONFIG",
    "STUDENT_SCORES",
    "TEACHER_SCORES",
    "Place",
    "RunFolder",
    "earlier_metrics",
    "kind_of",
    "without_seed",
]

# Names in the folder of a stage.
MODEL = "model"
CHECKPOINTS = "checkpoints"
STAGE_CONFIG = "stage.yaml"
"""The options of a fit as YAML."""
FIT_CONFIG = "config.yaml"
"""All settings of a fit, including defaults, as Lightning writes them."""
METRICS = "metrics.csv"
OUTPUT_LOG = "output.log"
STUDENT_SCORES = "student_scores.safetensors"
LOSS_WEIGHTS = "loss.safetensors"
TEACHER_SCORES = "teacher_scores.safetensors"
BASELINE_SCORES = "baseline_scores.safetensors"

# Kinds of which a run has several stages.
DISTILL = "distill"
PATH = "path"
BASELINES = "baselines"

ALTERNATIVES = "alternatives"
MAJORITY = "majority"
"""The folder of the alternative that always gives the same answer."""

_SEED = re.compile(r"seed_\d+/")


@dataclass(frozen=True)
class Place:
    """A file or folder of a run. A stage has the name of its folder.

    Args:
        root: The run's folder.
        name: The path in the run's folder, with slashes, as plans, manifests and summaries contain it.

    Examples:
        >>> place = Place(Path("runs/mrpc"), "finetune")
        >>> place.model.name, place.model.path.as_posix()
        ('finetune/model', 'runs/mrpc/finetune/model')
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """The full path, including the run's folder."""
        return self.root / self.name

    @property
    def model(self) -> Place:
        """The model folder in the folder of a fit, or of the stage that cuts the student."""
        return self / MODEL

    @property
    def checkpoints(self) -> Place:
        """The folder of a fit's checkpoints."""
        return self / CHECKPOINTS

    @property
    def is_model(self) -> bool:
        """Whether this folder contains a model.

        Raises:
            ReadError: If the folder cannot be read, so that it is unknown.
        """
        return is_file(self.path / "config.json")

    def __truediv__(self, name: str) -> Place:
        """A place in this one.

        Args:
            name: The path in this folder.
        """
        return replace(self, name=f"{self.name}/{name}")


@dataclass(frozen=True)
class RunFolder:
    """The places of a run.

    In a run with several seeds the repeated stages (the trial and everything after it, up to the last distillation and
    the baselines) lie in a folder for each seed; all other stages exist once.

    Args:
        root: The run's folder.
        seed: In a run with several seeds, the seed of the repeated places; None for a run with one seed.

    Examples:
        >>> run = RunFolder(Path("runs/mrpc"))
        >>> run.trial.name, run.of_seed(5).trial.name, run.of_seed(5).finetune.name
        ('trial', 'seed_5/trial', 'finetune')
    """

    root: Path
    seed: int | None = None

    def of_seed(self, seed: int) -> RunFolder:
        """The places of one of several repetitions.

        Args:
            seed: Seed of the repetition.

        Returns:
            The same run's folder, with the places of that seed.
        """
        return replace(self, seed=seed)

    def at(self, name: str) -> Place:
        """A place by its name.

        Args:
            name: The path in the run's folder, such as that of a model in a summary.

        Returns:
            The place.
        """
        return Place(self.root, name)

    def _repeated(self, name: str) -> Place:
        return self.at(name if self.seed is None else f"seed_{self.seed}/{name}")

    # Records of the run itself.

    @property
    def manifest(self) -> Path:
        """The record of the stages."""
        return self.root / "manifest.json"

    @property
    def config(self) -> Path:
        """The settings of the last command."""
        return self.root / "config.yaml"

    @property
    def plugins(self) -> Path:
        """The folder with copies of the plugins."""
        return self.root / "plugins"

    def description(self, task: str) -> Path:
        """The copy of the description of a user's task.

        Args:
            task: Path of the description.

        Returns:
            Path of the copy.
        """
        return self.root / "task" / Path(task).name

    @property
    def is_run(self) -> bool:
        """Whether the folder contains a run, finished or not."""
        return self.config.is_file() and self.manifest.is_file()

    # Files and folders that are no result of a stage.

    @property
    def teacher_outputs(self) -> Path:
        """The folder of the teachers' outputs for all rows; the distillations share it."""
        return self.root / "teacher_outputs"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's logs."""
        return self.root / "tensorboard"

    @property
    def mlflow_database(self) -> Path:
        """The database of MLflow, used unless another one is configured."""
        return self.root / "mlflow.db"

    @property
    def mlflow_files(self) -> Path:
        """The folder of MLflow's files."""
        return self.root / "mlflow"

    @property
    def report(self) -> Path:
        """The page of `stark report`."""
        return self.root / "report.html"

    @property
    def measurements(self) -> Path:
        """Latency, memory and size of the models, as `stark report`, `compare` and `card` measured them."""
        return self.root / "measurements.json"

    @property
    def int8(self) -> Place:
        """The folder of the ONNX models with weights of 8 bits that `stark report` makes to measure them."""
        return self.at("int8")

    @property
    def jobs(self) -> Path:
        """The folder of what SLURM wrote about jobs that did not end by themselves."""
        return self.root / "slurm"

    # Stages that exist once, and their results.

    @property
    def finetune(self) -> Place:
        """The stage that finetunes the dense teacher."""
        return self.at("finetune")

    @property
    def dense_teacher(self) -> Place:
        """Model folder of the dense teacher."""
        return self.finetune.model

    def on_path(self, sparsity: float) -> Place:
        """The stage that distils a student on the path.

        Args:
            sparsity: The student's sparsity.

        Returns:
            The place.
        """
        return self.at(f"{PATH}/{sparsity:g}")

    def cut_on_path(self, sparsity: float) -> Place:
        """The stage that cuts a student on the path.

        Args:
            sparsity: The student's sparsity.

        Returns:
            The place.
        """
        return self.at(f"{PATH}/{sparsity:g}_cut")

    @property
    def prune(self) -> Place:
        """The stage that cuts the student."""
        return self.at("prune")

    @property
    def initial_student(self) -> Place:
        """Model folder of the student before it is distilled."""
        return self.prune.model

    @property
    def student_scores(self) -> Place:
        """The scores that the student was cut by."""
        return self.prune / STUDENT_SCORES

    @property
    def alternatives(self) -> Place:
        """The stage that trains the simple alternatives; its folder has a folder of each."""
        return self.at(ALTERNATIVES)

    @property
    def evaluate(self) -> Place:
        """The stage that evaluates all models; it has no folder."""
        return self.at("evaluate")

    @property
    def summary(self) -> Place:
        """The results of the run."""
        return self.at("summary.json")

    @property
    def dev_logits(self) -> Place:
        """Logits of every model on dev, by model folder, predictions of every alternative, and ``labels``.

        Rows are in the order of the data file.
        """
        return self.at("dev_logits.safetensors")

    @property
    def student(self) -> Place:
        """The stage that copies the best student, which is also the student's model folder."""
        return self.at("student")

    # Stages that are repeated with each seed, and their results.

    @property
    def trial(self) -> Place:
        """The stage that distils the dense teacher."""
        return self._repeated("trial")

    @property
    def trial_loss(self) -> Place:
        """Parameters of the trial's loss, if ``distillation.loss`` is set."""
        return self.trial / LOSS_WEIGHTS

    @property
    def trial_student(self) -> Place:
        """Model folder of the dense teacher's student."""
        return self.trial.model

    @property
    def sparsify(self) -> Place:
        """The stage that scores the dense teacher; its folder also contains the sparse teachers."""
        return self._repeated("sparsify")

    @property
    def teacher_scores(self) -> Place:
        """The dense teacher's scores."""
        return self.sparsify / TEACHER_SCORES

    @property
    def score_baselines(self) -> Place:
        """The stage that scores the dense teacher for baselines; it has no folder."""
        return self._repeated("score_baselines")

    @property
    def baseline_scores(self) -> Place:
        """The dense teacher's scores for baselines."""
        return self.sparsify / BASELINE_SCORES

    def sparse_teacher(self, teacher: str) -> Place:
        """The stage that cuts a sparse teacher, which is also the teacher's model folder.

        Args:
            teacher: Name of the sparse teacher, such as ``0.5_0.1``.

        Returns:
            The place.
        """
        return self.sparsify / teacher

    def distillation(self, teacher: str) -> Place:
        """The stage that distils a sparse teacher.

        Args:
            teacher: Name of the sparse teacher.

        Returns:
            The place.
        """
        return self._repeated(f"{DISTILL}/{teacher}")

    @property
    def search(self) -> Place:
        """The stage that searches for the best sparse teacher; it has no folder."""
        return self._repeated("search")

    @property
    def found(self) -> Place:
        """The record of the search."""
        return self._repeated("search.json")

    def baseline(self, name: str) -> Place:
        """A stage of a baseline.

        Args:
            name: Name of the stage in the folder of baselines, such as ``no_teacher`` or ``dense_teacher_best_of_k/2``.

        Returns:
            The place.
        """
        return self._repeated(f"{BASELINES}/{name}")


def earlier_metrics(number: int | str) -> str:
    """The name of the file with a fit's metrics from before an interruption.

    Args:
        number: Number of the interruption, counted from 0, or a pattern for all numbers.

    Returns:
        The name of the file.

    Examples:
        >>> earlier_metrics(0), earlier_metrics("*")
        ('metrics.0.csv', 'metrics.*.csv')
    """
    stem, _, suffix = METRICS.partition(".")
    return f"{stem}.{number}.{suffix}"


def without_seed(name: str) -> str:
    """The name of a place, without the folder of its seed.

    Args:
        name: The path in the run's folder.

    Returns:
        The name in a run with one seed.

    Examples:
        >>> without_seed("seed_5/trial"), without_seed("trial")
        ('trial', 'trial')
    """
    found = _SEED.match(name)
    return name[found.end() :] if found else name


def kind_of(name: str) -> str:
    """The kind of a stage.

    Args:
        name: Name of the stage.

    Returns:
        The first part of its name, after the folder of its seed.

    Examples:
        >>> kind_of("seed_5/distill/0.5_0.1"), kind_of("finetune")
        ('distill', 'finetune')
    """
    return without_seed(name).split("/")[0]
