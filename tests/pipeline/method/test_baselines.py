"""Baselines in a run: the models of each; none of them is chosen."""

import shutil
from pathlib import Path
from typing import get_args

import pytest
import yaml

from cli import main
from pipeline.commands.run import read_settings
from pipeline.method import baselines
from pipeline.method.context import RunContext
from pipeline.search.candidates import Candidate
from pipeline.settings import SIMPLE, Baseline
from pipeline.stages.ranking import RANKINGS
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.runs import SEED, options, read

# Baselines that are students.
STUDENTS = [name for name in get_args(Baseline) if name != SIMPLE]


@pytest.fixture(scope="module")
def compared(pruned_run, tiny_task, tmp_path_factory):
    """A run with all baselines."""
    folder = tmp_path_factory.mktemp("baselines")
    shutil.copytree(pruned_run, folder / "tiny")
    names = ",".join(get_args(Baseline))
    main(
        options(
            tiny_task, folder, "--teacher.sparsities", "[0.2]", "--teacher.lams", "[0.5,1]", f"--baselines=[{names}]"
        )
    )
    return folder / "tiny"


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def by_baseline(folder: Path) -> dict:
    return {name: [model for model in read(folder)["models"] if model["baseline"] == name] for name in STUDENTS}


def test_every_ranking_is_a_baseline():
    assert set(RANKINGS) == set(STUDENTS[4:])


@pytest.mark.slow
def test_all_are_reported_and_none_is_chosen(compared):
    summary, found = read(compared), by_baseline(compared)
    assert {name: len(models) for name, models in found.items()} == {
        **dict.fromkeys(STUDENTS, 1),
        "restored_teacher": 2,  # one for each candidate
        "dense_teacher_best_of_k": 2,  # together with the trial as many as the search trained
    }
    assert summary["best"]["baseline"] is None
    (best,) = summary["best_by_method"]
    assert set(best) == {"seed", "dense_teacher", "sparse_teacher", "dense_or_sparse_teacher", *STUDENTS}
    assert best["dense_teacher"] == "trial/model"
    controls = [comparison["control"] for comparison in summary["comparisons"]]
    assert controls == ["dense_teacher", *STUDENTS]
    sizes = {model["encoder_parameters"] for models in found.values() for model in models}
    assert sizes == {summary["models"][1]["encoder_parameters"]}


@pytest.mark.slow
def test_the_best_of_k_is_that_of_the_selection_part(compared):
    summary = read(compared)
    tried = [summary["models"][2], *by_baseline(compared)["dense_teacher_best_of_k"]]
    best = max(tried, key=lambda model: model["selection"]["score"])
    assert summary["best_by_method"][0]["dense_teacher_best_of_k"] == best["folder"]
    assert len({weights(compared / model["folder"]) for model in tried}) == 3


@pytest.mark.slow
def test_other_seeds_have_the_same_rows(compared):
    stage = yaml.safe_load((compared / "baselines/dense_teacher_best_of_k/2/stage.yaml").read_text())
    assert stage["seed_everything"] != SEED
    assert stage["data"]["cut_seed"] == SEED


@pytest.mark.slow
def test_a_part_of_the_score_alone_is_a_lam(compared):
    assert weights(compared / "distill/expressiveness_0.2/model") == weights(compared / "distill/1_0.2/model")
    assert weights(compared / "distill/friendliness_0.2/model") != weights(compared / "distill/1_0.2/model")


@pytest.mark.slow
def test_rankings_remove_as_much_and_something_else(compared):
    units = {
        name: kept_units(load_classifier(compared / f"sparsify/{name}_0.2"))
        for name in ("0.5", "random", "magnitude", "signed_friendliness", "kl_friendliness")
    }
    assert len({sum(map(len, kept.neurons)) for kept in units.values()}) == 1
    # Soft cross-entropy and KL divergence may agree on so small a model; other tests distinguish them.
    assert len({units[name].neurons for name in ("0.5", "random", "magnitude", "signed_friendliness")}) == 4


@pytest.mark.slow
def test_the_assistant_lies_between(compared):
    sizes = [
        sum(map(len, kept_units(load_classifier(compared / folder)).neurons))
        for folder in ("prune/model", "baselines/assistant/model", "finetune/model")
    ]
    assert sizes == sorted(set(sizes))
    stage = yaml.safe_load((compared / "baselines/teacher_assistant/stage.yaml").read_text())
    assert stage["model"]["init_args"]["teacher"].endswith("baselines/assistant/model")


@pytest.mark.slow
def test_without_a_teacher_the_labels_are_all(compared):
    stage = yaml.safe_load((compared / "baselines/no_teacher/stage.yaml").read_text())
    assert stage["model"]["class_path"] == "lightning_modules.FinetuningModule"
    assert stage["trainer"]["max_epochs"] == 2


@pytest.mark.parametrize(("mode", "trainings"), [("exhaustive", 6), ("predict", 2), ("halving", 3)])
def test_k_is_the_number_of_trainings(tiny_task, tmp_path, mode, trainings):
    """With five candidates and ten epochs, halving trains 5 x 1 + 3 x 1 + 2 x 3 + 1 x 5 and the trial's ten: 2.9."""
    more = ("--search.mode", mode, "--teacher.sparsities", "[0.1,0.2,0.3,0.4,0.5]", "--distillation.epochs", "10")
    settings = read_settings([*options(tiny_task, tmp_path)[1:], *more, "--baselines", "[dense_teacher_best_of_k]"])[0]
    chosen = [Candidate(0.5, sparsity) for sparsity in settings.teacher.sparsities]
    chosen = chosen if mode == "exhaustive" else chosen[:1]
    stages, models = baselines.baseline_stages(RunContext(settings, tiny_task.data()), chosen)
    assert len(stages) == len(models) == trainings - 1
