import copy
import math
import random
import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import EarlyStopping

import callbacks.pruning
import callbacks.sparsification
from callbacks import Pruning, Rewinding, TeacherSparsification
from lightning_modules.resuming import random_states, refuse_changes, restore_random_states
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.scores.scoring import score_units
from tests.tasks import CopyAt, StopAt, Stopped, best_weights, differences, fit, make_trainer

# A fit is resumed in its folder, which has files already.
pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

# Seven batches per epoch; two epochs of trial, two of the actual distillation.
EPOCHS = {"max_epochs": 4, "min_epochs": 3, "patience": 3}
MID_EPOCH = {**EPOCHS, "val_check_interval": 3}
POINTS = [
    *((EPOCHS, point) for point in [("step", 3), ("step", 7), ("step", 14), ("val", 14), ("epoch", 1)]),
    *((EPOCHS, point) for point in [("step", 17), ("val", 21), ("epoch", 2), ("step", 28)]),
    *((MID_EPOCH, point) for point in [("step", 3), ("val", 6), ("step", 14), ("epoch", 1), ("val", 17), ("step", 20)]),
]


def point_name(value):
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value.get("val_check_interval", "epoch"))


def method(order=1):
    return [Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2)][::order]


def new_module(task):
    seed_everything(3, verbose=False)
    return task.distillation()


def best_of(trainer):
    tracker = trainer.checkpoint_callback
    return tracker.best_model_path.removeprefix(trainer.default_root_dir), tracker.best_model_score


def stop(folder, point, extra, settings, module, data):
    """Begin a fit, stop it, and return the checkpoint's path."""
    path = folder / "stopped.ckpt"
    with pytest.raises(Stopped):
        fit(make_trainer(folder, [*extra, StopAt(path, point)], **settings), module, data)
    return path


@pytest.fixture(scope="module")
def whole_fits(tiny_task, tmp_path_factory):
    """Trainers and final weights of the uninterrupted fits, by validation interval."""
    fits = {}
    for settings in (EPOCHS, MID_EPOCH):
        trainer = make_trainer(tmp_path_factory.mktemp("whole"), method(), **settings)
        weights = fit(trainer, new_module(tiny_task), tiny_task.data())
        fits[settings.get("val_check_interval")] = trainer, weights
    return fits


@pytest.fixture(scope="module")
def stop_method(tiny_task, tmp_path_factory):
    """Function that restores the folder of a fit stopped at a point; one fit provides the copies for all points."""
    folder, copies = tmp_path_factory.mktemp("stopped") / "fit", tmp_path_factory.mktemp("copies")
    for settings in (EPOCHS, MID_EPOCH):
        copy = CopyAt(folder, copies / point_name(settings), [point for its, point in POINTS if its is settings])
        fit(make_trainer(folder, [*method(), copy], **settings), new_module(tiny_task), tiny_task.data())
        shutil.rmtree(folder)

    def stop(settings, point):
        shutil.rmtree(folder, ignore_errors=True)
        number = [point for its, point in POINTS if its is settings].index(point)
        return shutil.copytree(copies / point_name(settings) / str(number), folder)

    return stop


@pytest.mark.parametrize(("settings", "point"), POINTS, ids=point_name)
def test_a_fit_stopped_anywhere_resumes_to_the_same_bits(
    whole_fits, stop_method, tiny_task, monkeypatch, settings, point
):
    folder = stop_method(settings, point)
    path = folder / "stopped.ckpt"
    scored = []
    for module in (callbacks.pruning, callbacks.sparsification):
        monkeypatch.setattr(module, "score_units", lambda *a, **k: (scored.append(a), score_units(*a, **k))[1])
    trainer = make_trainer(folder, method(), **settings)
    weights = fit(trainer, new_module(tiny_task), tiny_task.data(), path)
    whole, expected = whole_fits[settings.get("val_check_interval")]
    assert differences(weights, expected) == []
    assert best_of(trainer) == best_of(whole)
    assert differences(best_weights(trainer), best_weights(whole)) == []
    # Only the score files show the trial's result, because different scores may choose the same units.
    for file in ("student_scores.safetensors", "teacher_scores.safetensors"):
        assert (folder / file).read_bytes() == Path(whole.default_root_dir, file).read_bytes()
    # Neither the student nor a teacher that was already sparse is scored again.
    assert len(scored) == (not torch.load(path, weights_only=True)["callbacks"]["Rewinding"]["rewound"])


def test_the_order_of_callbacks_does_not_matter(whole_fits, tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, method(order=-1), **EPOCHS)
    weights = fit(trainer, new_module(tiny_task), tiny_task.data())
    whole, expected = whole_fits[None]
    assert differences(weights, expected) == []
    assert best_of(trainer) == best_of(whole)


def finetune(task, folder, *more, path=None):
    """Finetune, and return the trainer and the weights."""
    trainer = make_trainer(folder, [EarlyStopping("val/score", mode="max", patience=5), *more], max_epochs=3)
    seed_everything(3, verbose=False)
    return trainer, fit(trainer, task.finetuning(), task.data(), path)


@pytest.fixture(scope="module")
def whole_finetuning(tiny_task, tmp_path_factory):
    return finetune(tiny_task, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("point", [("step", 4), ("val", 7), ("epoch", 0), ("step", 7), ("val", 14)])
def test_finetuning_with_default_early_stopping_resumes_to_the_same_bits(whole_finetuning, tiny_task, tmp_path, point):
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        finetune(tiny_task, tmp_path, StopAt(path, point))
    trainer, weights = finetune(tiny_task, tmp_path, path=path)
    whole, expected = whole_finetuning
    assert differences(weights, expected) == []
    assert best_of(trainer) == best_of(whole)
    assert trainer.early_stopping_callback.state_dict() == whole.early_stopping_callback.state_dict()


@pytest.fixture(scope="module")
def whole_accumulations(tiny_task, tmp_path_factory):
    """Final weights of fits that accumulate batches; with 7 batches per epoch, the last update has one batch."""
    weights = {}
    for accumulate in (2, 3):
        trainer = make_trainer(tmp_path_factory.mktemp("whole"), accumulate_grad_batches=accumulate)
        weights[accumulate] = fit(trainer, new_module(tiny_task), tiny_task.data())
    return weights


@pytest.mark.parametrize(
    ("accumulate", "val_check_interval", "point"),
    [
        *((2, 1.0, ("batch", batch)) for batch in (1, 3, 7, 8)),
        *((3, 1.0, ("batch", batch)) for batch in (1, 2, 5, 9)),
        *((3, 4, point) for point in [("batch", 4), ("val", 1)]),  # validation in the middle of an update
    ],
)
def test_an_update_that_was_half_accumulated_resumes_to_the_same_bits(
    whole_accumulations, tiny_task, tmp_path, accumulate, val_check_interval, point
):
    settings = {"accumulate_grad_batches": accumulate, "val_check_interval": val_check_interval}
    path = stop(tmp_path, point, [], settings, new_module(tiny_task), tiny_task.data())
    saved = torch.load(path, weights_only=True)["partial_gradients"]
    done = 4 if point[0] == "val" else point[1] % 7
    assert bool(saved) == (done % accumulate != 0)
    weights = fit(make_trainer(tmp_path, **settings), new_module(tiny_task), tiny_task.data(), path)
    assert differences(weights, whole_accumulations[accumulate]) == []


def test_a_fit_with_a_worker_process_resumes_in_mid_epoch_the_same_way(tiny_task, tmp_path):
    weights = []
    for workers in (0, 1):
        folder = tmp_path / str(workers)
        data = {"num_workers": workers}
        path = stop(folder, ("step", 4), [], {"max_epochs": 1}, tiny_task.distillation(), tiny_task.data(**data))
        trainer = make_trainer(folder, max_epochs=1)
        weights.append(fit(trainer, tiny_task.distillation(), tiny_task.data(**data), path))
    whole = fit(make_trainer(tmp_path / "whole", max_epochs=1), tiny_task.distillation(), tiny_task.data())
    assert differences(weights[0], whole) == []
    assert differences(weights[1], whole) == []


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"module": {"learning_rate": 2e-3}}, "model.learning_rate"),
        ({"module": {"temperature": 4.0}}, "model.temperature"),
        ({"data": {"batch_size": 8}}, "data.batch_size"),
        ({"data": {"seed": 2}}, "data.seed"),
        ({"trainer": {"max_epochs": 3}}, "trainer.max_epochs"),
        ({"trainer": {"gradient_clip_val": 0.5}}, "trainer.gradient_clip_val"),
        ({"trainer": {"accumulate_grad_batches": 2}}, "trainer.accumulate_grad_batches"),
        ({"trainer": {"precision": "bf16-mixed"}}, "trainer.precision"),
    ],
)
def test_a_changed_setting_is_refused_by_name(stopped, tiny_task, tmp_path, changed, key):
    module = tiny_task.distillation(**changed.get("module", {}))
    data = tiny_task.data(**changed.get("data", {}))
    with pytest.raises(ValueError, match=f"^{key} is .* but the checkpoint was made with"):
        fit(make_trainer(tmp_path, **changed.get("trainer", {})), module, data, stopped)


def test_a_changed_teacher_is_refused(stopped, tiny_task, tmp_path):
    teacher = load_classifier(tiny_task.teacher)
    with torch.no_grad():
        teacher.classifier.bias[0] += 1
    shutil.copytree(tiny_task.teacher, tmp_path / "teacher")
    save_classifier(teacher, tmp_path / "teacher", load_tokenizer(tiny_task.teacher))
    module = tiny_task.distillation(teacher=tmp_path / "teacher")
    module.hparams["teacher"] = str(tiny_task.teacher)  # so that the setting in the checkpoint is unchanged
    with pytest.raises(ValueError, match=r"the teacher .* has changed since the checkpoint was made"):
        fit(make_trainer(tmp_path), module, tiny_task.data(), stopped)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_what_is_only_tested_may_have_other_settings(stopped, tiny_task, tmp_path):
    module, data = tiny_task.distillation(learning_rate=2e-3), tiny_task.data(batch_size=8)
    make_trainer(tmp_path, max_epochs=9).test(module, data, ckpt_path=stopped, verbose=False, weights_only=True)
    weights = torch.load(stopped, weights_only=True)["state_dict"]
    assert differences({name: weights[name] for name in module.state_dict()}, module.state_dict()) == []


@pytest.fixture(scope="module")
def stopped(tiny_task, tmp_path_factory):
    """A checkpoint of a distillation in the middle of its first epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    return stop(folder, ("step", 2), [], {}, tiny_task.distillation(), tiny_task.data())


def test_random_states_come_back():
    torch.rand(3), random.random()
    states = copy.deepcopy(random_states())
    drawn = torch.rand(2).tolist(), random.random(), random.gauss()
    restore_random_states(states)
    assert (torch.rand(2).tolist(), random.random(), random.gauss()) == drawn


def test_random_states_survive_a_file_without_pickled_code(tmp_path):
    torch.save(random_states(), tmp_path / "states")
    drawn = torch.rand(1), random.random()
    restore_random_states(torch.load(tmp_path / "states", weights_only=True))
    assert (torch.rand(1), random.random()) == drawn


def test_settings_that_came_or_went_are_changes():
    refuse_changes({"a": 1, "b": math.inf}, {"b": math.inf, "a": 1}, "data")
    for now, then in (({"a": 1}, {}), ({}, {"a": 1}), ({"a": 1}, {"a": 2})):
        with pytest.raises(ValueError, match=r"data\.a is "):
            refuse_changes(now, then, "data")


@pytest.mark.parametrize("point", [("val", 14), ("epoch", 1)])
def test_a_fit_that_early_stopping_had_ended_ends_when_it_is_resumed(tiny_task, tmp_path, point):
    """The score stays the same, so early stopping ends the fit after the second epoch."""
    settings = {"max_epochs": 5, "patience": 1}
    still = {"learning_rate": 0.0}
    whole = make_trainer(tmp_path / "whole", **settings)
    fit(whole, tiny_task.finetuning(**still), tiny_task.data())
    path = stop(tmp_path / "stopped", point, [], settings, tiny_task.finetuning(**still), tiny_task.data())
    resumed = make_trainer(tmp_path / "stopped", **settings)
    fit(resumed, tiny_task.finetuning(**still), tiny_task.data(), path)
    assert whole.global_step == resumed.global_step == 14
