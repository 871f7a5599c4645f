"""The choice of the best student."""

import pytest
import torch

from datamodules.tokens.truncation import Truncation
from pipeline.commands.run import read_settings
from pipeline.execution.manifest import Manifest, Record
from pipeline.results.measure import Evaluation
from pipeline.results.summary import Removed, Size, Trained
from pipeline.stages import evaluate as stage


@pytest.fixture
def summarized(tiny_task, tmp_path, monkeypatch):
    """Function from the mode of the search and the students' selection scores to the summary."""
    monkeypatch.setattr(stage, "module_of", lambda folder, _: type("Module", (), {"classifier": str(folder)}))
    monkeypatch.setattr(stage, "load_classifier", str)
    monkeypatch.setattr(stage.GLUEDataModule, "truncation", lambda *_: Truncation())  # there is no tokenizer
    monkeypatch.setattr(stage, "size", lambda *_: Size(2, 1, Removed(0.5, 0.5)))
    names = ("finetune", "prune", "trial", "distill/0.5_0.1", "distill/1_0.1", "again")
    manifest = Manifest(tmp_path, {name: Record({}, {}, seconds=3.0) for name in names})

    def work(mode, **scores):
        read = []

        def evaluate(module, data, settings, part):
            name = module.classifier.removeprefix(str(settings.folder))[1:].removesuffix("/model")
            read.append(part)
            # On dev the order is reversed.
            score = scores.get(name, 0.0) * (1 if part == "selection" else -1)
            none = torch.zeros(400, dtype=torch.long)
            return Evaluation({"score": score}, torch.zeros(400, 2), none, none)

        monkeypatch.setattr(stage, "evaluate", evaluate)
        monkeypatch.setattr(stage.gc, "collect", lambda: None)  # which is slow after all imports of the tests
        options = ["--model_name_or_path", str(tiny_task.encoder), "--student.sparsity", "0.5", "--data.task", "sst2"]
        settings = read_settings([*options, "--root", str(tmp_path), "--teacher.sparsities", "[0.1]"])[0]
        settings.search.mode = mode
        trained = [
            Trained("dense teacher", "finetune"),
            Trained("student, not distilled", "prune"),
            Trained("student of dense teacher", "trial", 7, 0.0),
            Trained("student of sparse teacher", "distill/0.5_0.1", 7, 0.1, 0.5),
            Trained("student of sparse teacher", "distill/1_0.1", 7, 0.1, 1.0),
            Trained("dense_teacher_best_of_k", "again", 7, 0.0, baseline="dense_teacher_best_of_k"),
        ]
        settings.baselines = ["dense_teacher_best_of_k"]
        found = stage.summarize(settings, manifest, trained)
        assert read == ["selection"] * 6 + ["dev"] * 6  # dev is read after all choices
        return found

    return work


@pytest.mark.parametrize("mode", ["exhaustive", "halving", "predict"])
def test_the_best_is_that_of_the_selection_part(summarized, mode):
    scores = {"finetune": 0.99, "trial": 0.7, "distill/0.5_0.1": 0.8, "distill/1_0.1": 0.9}
    assert summarized(mode, **scores).best.folder == "distill/1_0.1/model"
    assert summarized(mode, **{**scores, "trial": 0.95}).best.folder == "trial/model"


def test_ties_go_to_the_denser_teacher(summarized):
    scores = {"trial": 0.8, "distill/0.5_0.1": 0.8, "distill/1_0.1": 0.8}
    assert summarized("exhaustive", **scores).best.folder == "trial/model"


def test_without_a_search_the_candidates_student_is_taken(summarized):
    best = summarized("none", trial=0.9).best
    assert (best.folder, best.lam, best.teacher_sparsity) == ("distill/0.5_0.1/model", 0.5, 0.1)


def test_a_baseline_is_the_best_of_its_own_and_never_chosen(summarized):
    for again, folder in ((0.99, "again/model"), (0.1, "trial/model")):
        found = summarized("exhaustive", trial=0.7, again=again)
        assert found.best.folder == "trial/model"
        assert found.best_by_method[0].students["dense_teacher_best_of_k"] == folder
