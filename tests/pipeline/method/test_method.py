"""Repetitions with several seeds; test_run.py tests a run with one seed, test_repetition.py the searches."""

import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from cli import main
from tests.pipeline.runs import SEED, options, read


@pytest.fixture(scope="module")
def repeated(pruned_run, tiny_task, tmp_path_factory):
    """A run with two seeds; one is that of the run without repetitions, from which the earlier stages are copied."""
    folder = tmp_path_factory.mktemp("seeds")
    shutil.copytree(pruned_run, folder / "tiny")
    main(options(tiny_task, folder, "--seeds", f"[5,{SEED}]", "--teacher.sparsities", "[0.2]"))
    return folder / "tiny"


def weights(folder: Path) -> bytes:
    return (folder / "model/model.safetensors").read_bytes()


def test_everything_from_the_trial_on_is_there_for_each_seed(repeated):
    for seed in (5, SEED):
        stage = yaml.safe_load((repeated / f"seed_{seed}/trial/stage.yaml").read_text())
        assert stage["seed_everything"] == seed
        assert stage["data"]["cut_seed"] == SEED
        assert (repeated / f"seed_{seed}/sparsify/teacher_scores.safetensors").is_file()
    assert weights(repeated / "seed_5/trial") != weights(repeated / f"seed_{SEED}/trial")


def test_a_repetition_is_a_run_with_its_seed(repeated, pruned_run):
    for name in ("trial", "distill/0.5_0.2"):
        assert weights(repeated / f"seed_{SEED}" / name) == weights(pruned_run / name)


def test_the_summary_has_each_seed(repeated):
    summary = read(repeated)
    assert [model["seed"] for model in summary["models"]] == [None, None, 5, 5, SEED, SEED]
    assert [entry["seed"] for entry in summary["best_by_method"]] == [5, SEED]
    (comparison,) = summary["comparisons"]
    assert (comparison["control"], len(comparison["mcnemar"])) == ("dense_teacher", 2)
    students = [model for model in summary["models"] if model["seed"] is not None]
    assert summary["best"]["folder"] == max(students, key=lambda model: model["selection"]["score"])["folder"]


def test_logits_of_dev_are_kept(repeated):
    summary, logits = read(repeated), load_file(repeated / "dev_logits.safetensors")
    assert set(logits) == {"labels", *(model["folder"] for model in summary["models"])}
    for model in summary["models"]:
        right = logits[model["folder"]].argmax(-1) == logits["labels"]
        assert float(right.double().mean()) == pytest.approx(model["dev"]["accuracy"])


@pytest.mark.slow
def test_workers_change_no_result(repeated, pruned_run, tiny_task, tmp_path, warm_python):
    """Tested with halving and two fits at a time, each in a separate process."""
    shutil.copytree(pruned_run, tmp_path / "tiny")
    more = ("--seeds", f"[5,{SEED}]", "--search.mode", "halving", "--workers", "2")
    main(options(tiny_task, tmp_path, *more))
    found = read(tmp_path / "tiny")
    chosen = {model["seed"]: model for model in found["models"] if model["lam"] is not None}
    assert len(chosen) == 2
    for seed, model in chosen.items():
        assert (tmp_path / f"tiny/seed_{seed}/trial/output.log").is_file()
        assert weights(tmp_path / f"tiny/seed_{seed}/trial") == weights(repeated / f"seed_{seed}/trial")
        if model["teacher_sparsity"] == 0.2:
            folder = f"seed_{seed}/distill/0.5_0.2"
            assert weights(tmp_path / "tiny" / folder) == weights(repeated / folder)
    student = chosen[SEED]["folder"].removesuffix("/model")
    assert weights(tmp_path / "tiny" / student) == weights(pruned_run / student.removeprefix(f"seed_{SEED}/"))


@pytest.mark.slow
def test_one_more_seed_costs_that_seed_only(repeated, tiny_task, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(repeated, tmp_path / "tiny"))
    trained = []
    monkeypatch.setattr("pipeline.stages.fit.StarkCLI", _watched(trained))
    main(options(tiny_task, tmp_path, "--seeds", f"[5,{SEED},6]", "--teacher.sparsities", "[0.2]"))
    assert trained == ["seed_6/trial", "seed_6/distill/0.5_0.2"]
    assert [entry["seed"] for entry in read(folder)["best_by_method"]] == [5, SEED, 6]


def _watched(trained):
    from pipeline.fits.lightning_cli import StarkCLI

    def run(command, callbacks):
        trained.append(command[2].split("/tiny/")[1].removesuffix("/stage.yaml"))
        return StarkCLI(command, callbacks)

    return run
