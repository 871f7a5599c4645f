"""The places of all files of a run."""

import ast
import re
from pathlib import Path

import pytest

from pipeline import run_folder
from pipeline.execution.manifest import Manifest
from pipeline.run_folder import Place, RunFolder, earlier_metrics, kind_of, without_seed

ROOT = Path("runs/mrpc")
PIPELINE = Path(run_folder.__file__).parent

# Written by hand, from docs/run.md and runs of earlier versions.
ONCE = {
    "finetune": "finetune",
    "dense_teacher": "finetune/model",
    "prune": "prune",
    "initial_student": "prune/model",
    "student_scores": "prune/student_scores.safetensors",
    "alternatives": "alternatives",
    "int8": "int8",
    "evaluate": "evaluate",
    "summary": "summary.json",
    "dev_logits": "dev_logits.safetensors",
    "student": "student",
}
REPEATED = {
    "trial": "trial",
    "trial_loss": "trial/loss.safetensors",
    "trial_student": "trial/model",
    "sparsify": "sparsify",
    "teacher_scores": "sparsify/teacher_scores.safetensors",
    "score_baselines": "score_baselines",
    "baseline_scores": "sparsify/baseline_scores.safetensors",
    "search": "search",
    "found": "search.json",
}
FILES = {
    "manifest": "manifest.json",
    "config": "config.yaml",
    "plugins": "plugins",
    "teacher_outputs": "teacher_outputs",
    "tensorboard": "tensorboard",
    "mlflow_database": "mlflow.db",
    "mlflow_files": "mlflow",
    "report": "report.html",
    "measurements": "measurements.json",
    "jobs": "slurm",
}
# Names that can only be places of a run.
UNMISTAKABLE = {
    *FILES.values(),
    *(name.rsplit("/", 1)[-1] for name in (*ONCE.values(), *REPEATED.values()) if "." in name),
    *(run_folder.STAGE_CONFIG, run_folder.METRICS, run_folder.OUTPUT_LOG, run_folder.CHECKPOINTS),
} - {"plugins", "tensorboard", "mlflow", "slurm"}
IN_A_STAGE = re.compile(r"(^|/)(finetune|prune|trial|sparsify|distill|baselines|seed_.*)/|/model$|^seed_$")


def test_places_have_the_names_of_existing_runs():
    run = RunFolder(ROOT)
    assert {key: getattr(run, key).name for key in ONCE} == ONCE
    assert {key: getattr(run, key).name for key in REPEATED} == REPEATED
    assert {key: getattr(run, key).relative_to(ROOT).as_posix() for key in FILES} == FILES
    assert run.sparse_teacher("0.5_0.1").name == "sparsify/0.5_0.1"
    assert run.distillation("0.5_0.1").name == "distill/0.5_0.1"
    assert run.baseline("no_teacher").name == "baselines/no_teacher"
    assert run.description("/home/me/own.yaml") == ROOT / "task/own.yaml"
    properties = {name for name, value in vars(RunFolder).items() if isinstance(value, property)} - {"is_run"}
    assert properties == ONCE.keys() | REPEATED.keys() | FILES.keys()


def test_each_seed_has_places_of_its_own():
    run = RunFolder(ROOT).of_seed(5)
    assert {key: getattr(run, key).name for key in ONCE} == ONCE
    assert {key: getattr(run, key).name for key in REPEATED} == {
        key: f"seed_5/{name}" for key, name in REPEATED.items()
    }
    assert {key: getattr(run, key).relative_to(ROOT).as_posix() for key in FILES} == FILES
    assert run.sparse_teacher("0.5_0.1").name == "seed_5/sparsify/0.5_0.1"
    assert run.distillation("0.5_0.1").name == "seed_5/distill/0.5_0.1"
    assert run.baseline("no_teacher").name == "seed_5/baselines/no_teacher"
    assert run.of_seed(6).trial.name == "seed_6/trial"
    assert RunFolder(ROOT, seed=0).trial.name == "seed_0/trial"


def test_a_place_has_a_name_and_a_path():
    place = RunFolder(ROOT).of_seed(5).trial
    assert place.path == ROOT / "seed_5/trial"
    assert (place.model.name, place.checkpoints.name) == ("seed_5/trial/model", "seed_5/trial/checkpoints")
    assert place / "a/b" == Place(ROOT, "seed_5/trial/a/b")
    assert RunFolder(ROOT).at("distill/0.5_0.1/model").path == ROOT / "distill/0.5_0.1/model"


def test_names_are_taken_apart():
    assert without_seed("seed_12/sparsify/0.5_0.1") == "sparsify/0.5_0.1"
    assert without_seed("seeds/trial") == "seeds/trial"
    assert without_seed("distill/seed_1/x") == "distill/seed_1/x"
    assert [kind_of(name) for name in ("finetune", "seed_3/trial", "distill/0.5_0.1")] == [
        "finetune",
        "trial",
        "distill",
    ]
    assert (earlier_metrics(3), earlier_metrics("*")) == ("metrics.3.csv", "metrics.*.csv")


def test_a_run_has_settings_and_a_manifest(tmp_path):
    run = RunFolder(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert not run.is_run
    (tmp_path / "manifest.json").touch()
    assert run.is_run


def test_a_model_has_a_configuration(tmp_path):
    place = RunFolder(tmp_path).trial_student
    assert not place.is_model
    place.path.mkdir(parents=True)
    (place.path / "config.json").touch()
    assert place.is_model


def test_the_places_of_a_finished_run_exist(pruned_run):
    run = RunFolder(pruned_run)
    assert run.is_run
    models = (run.dense_teacher, run.initial_student, run.trial_student, run.sparse_teacher("0.5_0.4"), run.student)
    assert [place.name for place in (*models, run.distillation("0.5_0.4").model) if not place.is_model] == []
    files = (run.student_scores, run.teacher_scores, run.summary, run.dev_logits)
    assert [place.name for place in files if not place.path.is_file()] == []
    assert run.teacher_outputs.is_dir()
    sparse = [run.sparse_teacher(name).name for name in ("0.5_0.2", "0.5_0.4")]
    distilled = [run.distillation(name).name for name in ("0.5_0.2", "0.5_0.4")]
    others = (run.finetune, run.prune, run.trial, run.sparsify, run.evaluate, run.student)
    assert set(Manifest.read(pruned_run).stages) == {*sparse, *distilled, *(place.name for place in others)}


def strings(path):
    """The strings in a module's code, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PIPELINE.rglob("*.py")) if path != Path(run_folder.__file__)],
    ids=lambda path: path.relative_to(PIPELINE).as_posix(),
)
def test_no_other_module_spells_a_place(path):
    found = [text for text in strings(path) if text in UNMISTAKABLE or (" " not in text and IN_A_STAGE.search(text))]
    assert found == []


def test_what_is_looked_for_would_be_found():
    places = [*ONCE.values(), *REPEATED.values(), "distill/0.5_0.1", "/model", "seed_", "seed_5/"]
    seen = {text for text in places if text in UNMISTAKABLE or IN_A_STAGE.search(text)}
    # Words that are also commands, settings and callbacks.
    assert set(places) - seen == {
        "finetune",
        "prune",
        "evaluate",
        "student",
        "trial",
        "sparsify",
        "score_baselines",
        "search",
        "alternatives",
        "int8",
    }
