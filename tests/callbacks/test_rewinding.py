import warnings

import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from callbacks import Pruning, Rewinding, SaveModelFolder, TeacherCache, TeacherSparsification
from callbacks.scoring import scoring_batches
from stark.encoders.cutting import shrink_to_
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.pruning import prune_
from stark.refitting import output_projections
from stark.scores.expressiveness import Expressiveness
from stark.scores.scoring import score_units
from tests.tasks import Scored, StopAt, Stopped, best_weights, differences, fit, make_trainer

EPOCHS = {"max_epochs": 4, "min_epochs": 3}


class Watcher(Callback):
    """Records a fit's state at the first batch of each epoch, and its learning rates."""

    def __init__(self):
        self.weights, self.moments, self.trackers, self.learning_rates, self.phases = [], [], [], [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.learning_rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        if batch_idx == 0:
            self.weights.append({name: tensor.clone() for name, tensor in module.student.state_dict().items()})
            self.moments.append(len(trainer.optimizers[0].state))
            self.phases.append(module.phase)
            self.trackers.append(
                (
                    trainer.checkpoint_callback.best_model_path,
                    trainer.checkpoint_callback.best_model_score,
                    getattr(trainer.early_stopping_callback, "wait_count", None),
                )
            )


def pruned_folder(task, folder):
    """A folder of the teacher pruned to one half, as by `Pruning`."""
    data, model = task.data(), load_classifier(task.teacher)
    data.setup("fit")
    batches = scoring_batches(data, "selection", "example", torch.device("cpu"))
    scores = score_units(model, batches, [Expressiveness()])
    return save_classifier(prune_(model, Expressiveness(), scores, 0.5), folder, load_tokenizer(task.teacher))


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(("step", 9), marks=pytest.mark.slow),
        pytest.param(("epoch", 1), marks=pytest.mark.slow),
        ("step", 17),
    ],
    ids=["in trial", "its end", "after it"],
)
def test_a_fit_with_refitted_models_resumes_to_the_same_bits(tiny_task, tmp_path, point):
    def run(folder, *more, path=None):
        method = [Rewinding(2), TeacherSparsification(0.5, 0.3, refit=True), Pruning(0.5, refit=True), TeacherCache()]
        module = tiny_task.distillation()
        fit(make_trainer(folder, [*method, *more], **EPOCHS), module, tiny_task.data(), path)
        return module

    expected, path = run(tmp_path / "whole"), tmp_path / "stopped" / "stopped.ckpt"
    with pytest.raises(Stopped):
        run(path.parent, StopAt(path, point))
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    module = run(path.parent, path=path)
    assert differences(module.state_dict(), expected.state_dict()) == []
    assert differences(module.teacher.state_dict(), expected.teacher.state_dict()) == []
    dense, sparse = load_classifier(tiny_task.teacher), load_classifier(tmp_path / "whole" / "teacher")
    assert differences(sparse.state_dict(), module.teacher.state_dict()) == []
    cut = shrink_to_(dense, kept_units(sparse)).state_dict()
    assert set(differences(sparse.state_dict(), cut)) == set(output_projections(sparse))


def test_one_fit_gives_the_bits_of_chained_fits(tiny_task, tmp_path):
    method = [SaveModelFolder(), Rewinding(2), TeacherSparsification(0.5, 0.3), Pruning(0.5)]
    whole = make_trainer(tmp_path / "whole", method, **EPOCHS)
    expected = fit(whole, tiny_task.distillation(), tiny_task.data())
    student = pruned_folder(tiny_task, tmp_path / "pruned")
    trial = make_trainer(tmp_path / "trial", [SaveModelFolder()], max_epochs=2)
    fit(trial, tiny_task.distillation(student=student), tiny_task.data())
    sparsify = make_trainer(
        tmp_path / "sparsify", [TeacherSparsification(0.5, 0.3)], max_epochs=1, limit_train_batches=1
    )
    fit(sparsify, tiny_task.distillation(student=tmp_path / "trial" / "model"), tiny_task.data())
    actual = make_trainer(tmp_path / "actual", [SaveModelFolder()], max_epochs=2)
    teacher = tmp_path / "sparsify" / "teacher"
    weights = fit(actual, tiny_task.distillation(teacher=teacher, student=student), tiny_task.data())
    assert differences(weights, expected) == []
    assert differences(best_weights(actual), best_weights(whole)) == []
    assert actual.checkpoint_callback.best_model_score == whole.checkpoint_callback.best_model_score
    saved = [load_classifier(folder / "model").state_dict() for folder in (tmp_path / "actual", tmp_path / "whole")]
    assert differences(*saved) == []
    assert kept_units(load_classifier(teacher)) == kept_units(load_classifier(tmp_path / "whole" / "teacher"))


def test_the_actual_distillation_starts_anew(tiny_task, tmp_path):
    watcher = Watcher()
    trainer = make_trainer(tmp_path, [watcher, Pruning(0.5), Rewinding(2)], patience=5, **EPOCHS)
    fit(trainer, tiny_task.distillation(warmup_proportion=0.25), tiny_task.data())
    pruned = load_classifier(pruned_folder(tiny_task, tmp_path / "pruned")).state_dict()
    assert differences(watcher.weights[0], pruned) == []
    assert differences(watcher.weights[2], pruned) == []
    assert differences(watcher.weights[1], pruned) != []
    assert differences(watcher.weights[3], pruned) != []
    assert [moments > 0 for moments in watcher.moments] == [False, True, False, True]
    assert watcher.trackers[0] == watcher.trackers[2] == ("", None, 0)
    assert watcher.trackers[1][0] != ""
    assert watcher.trackers[3][0] != ""
    assert watcher.phases == [(0, 2), (0, 2), (2, None), (2, None)]
    one_phase = [1e-3 * (step / 3 if step < 3 else (14 - step) / 11) for step in range(14)]
    assert watcher.learning_rates == pytest.approx(one_phase * 2)


def test_without_other_callbacks_both_phases_are_the_same_fit(tiny_task, tmp_path):
    watcher = Watcher()
    fit(make_trainer(tmp_path, [Rewinding(2), watcher], **EPOCHS), tiny_task.distillation(), tiny_task.data())
    assert differences(watcher.weights[0], watcher.weights[2]) == []
    assert differences(watcher.weights[1], watcher.weights[3]) == []
    assert differences(watcher.weights[0], watcher.weights[1]) != []


@pytest.mark.usefixtures("unscored")
def test_the_teacher_is_scored_against_the_best_trial_student(tiny_task, tmp_path, monkeypatch):
    students = []

    def spy(teacher, batches, scores, distilled, reduction, **more):
        students.append({name: tensor.clone() for name, tensor in distilled.student.state_dict().items()})
        return score_units(teacher, batches, scores, distilled, reduction, **more)

    monkeypatch.setattr("callbacks.sparsification.score_units", spy)
    scored = Scored(0.9, 0.2, 0.3, 0.4)
    method = [Rewinding(2), TeacherSparsification(0.5, 0.5), scored]
    module = tiny_task.distillation()
    fit(make_trainer(tmp_path, method, **EPOCHS), module, tiny_task.data())
    assert len(students) == 1
    best = {name.removeprefix("classifier."): tensor for name, tensor in scored.weights[0].items()}
    assert differences(students[0], best) == []
    assert sum(len(heads) for heads in kept_units(module.teacher).heads) == 8


@pytest.mark.usefixtures("unscored")
def test_the_best_trial_score_does_not_hide_the_actual_students(tiny_task, tmp_path):
    scored = Scored(0.9, 0.8, 0.3, 0.2)
    trainer = make_trainer(tmp_path, [Rewinding(2), scored], **EPOCHS)
    fit(trainer, tiny_task.distillation(), tiny_task.data())
    assert trainer.checkpoint_callback.best_model_score.item() == pytest.approx(0.3)
    assert differences(best_weights(trainer), scored.weights[2]) == []


@pytest.mark.usefixtures("unscored")
def test_early_stopping_ends_the_actual_distillation_only(tiny_task, tmp_path):
    scored = Scored(*[0.5] * 8)
    trainer = make_trainer(tmp_path, [Rewinding(3), scored], patience=1, max_epochs=8, min_epochs=4)
    fit(trainer, tiny_task.distillation(), tiny_task.data())
    # Three epochs of trial, although the second is no better; then a best epoch, and one that is no better.
    assert len(scored.weights) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epochs": 2}, "max_epochs counts both phases, so give more than trial_epochs"),
        ({"max_epochs": 4, "max_steps": 20}, "give trainer.max_epochs alone"),
        ({"max_epochs": 1}, "max_epochs counts both phases, so give more than trial_epochs"),
        ({"max_epochs": 4, "patience": 2}, r"set trainer\.min_epochs to 3 or more"),
        ({"max_epochs": 4, "min_epochs": 2, "patience": 2}, r"set trainer\.min_epochs to 3 or more"),
        ({"max_epochs": 4, "monitor": None}, "add a ModelCheckpoint with monitor: val/score, mode: max"),
        (
            {"max_epochs": 4, "monitor": None, "enable_checkpointing": False},
            "add a ModelCheckpoint with monitor: val/score, mode: max",
        ),
    ],
)
def test_a_trainer_that_does_not_fit_is_refused_before_training(tiny_task, tmp_path, settings, message):
    watcher = Watcher()
    with pytest.raises(ValueError, match=message):
        fit(make_trainer(tmp_path, [Rewinding(2), watcher], **settings), tiny_task.distillation(), tiny_task.data())
    assert watcher.weights == []


def test_a_trial_without_validation_is_refused_when_it_is_over(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [Rewinding(1)], max_epochs=2, limit_val_batches=0)
    with pytest.raises(ValueError, match="found no best checkpoint of the trial: let every epoch validate"):
        fit(trainer, tiny_task.distillation(), tiny_task.data())


def test_a_fast_run_of_one_batch_works(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [Rewinding(2), TeacherSparsification(0.5, 0.3), Pruning(0.5)], fast_dev_run=True)
    fit(trainer, tiny_task.distillation(), tiny_task.data())
    assert trainer.global_step == 1


def test_the_state_holds_copies(tiny_task, tmp_path):
    rewinding = Rewinding(2)
    trainer = make_trainer(tmp_path, [rewinding], patience=5, **EPOCHS)
    module = tiny_task.distillation()
    initial = {name: tensor.clone() for name, tensor in module.student.state_dict().items()}
    fit(trainer, module, tiny_task.data())
    state = rewinding.state_dict()
    assert differences(state["initial_student"], initial) == []
    assert state["rewound"]
    kinds = {ModelCheckpoint: "best_model_path", EarlyStopping: "wait_count"}
    trackers = {t.state_key: kinds[type(t)] for t in trainer.callbacks if type(t) in kinds}
    assert {key: state["initial_trackers"][key][name] for key, name in trackers.items()} == {
        key: "" if name == "best_model_path" else 0 for key, name in trackers.items()
    }


def test_a_foreign_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match="Rewinding needs a ClassificationModule, got LightningModule"):
        Rewinding(1).setup(make_trainer(tmp_path), LightningModule(), "fit")


@pytest.mark.parametrize("epochs", [0, -1])
def test_a_trial_without_epochs_is_refused(epochs):
    with pytest.raises(ValueError, match=f"trial_epochs is {epochs}: give at least 1"):
        Rewinding(epochs)
