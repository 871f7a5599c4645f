"""Averaged weights, compared with the mean of weights that another callback records after each step."""

import warnings

import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from safetensors.torch import load_file

from callbacks import AveragedWeights, CUDAGraphs, Pruning, Rewinding, SaveModelFolder, TeacherSparsification
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier
from stark.scores.scoring import score_units
from tests.lightning_modules.test_loss_parameters import Projected
from tests.stark.forward.test_replaying import Remember
from tests.tasks import Scored, StopAt, Stopped, best_weights, differences, fit, make_trainer

# Seven batches per epoch: in two epochs a half are the last seven steps.
HALF = 0.5
METHOD = {"max_epochs": 4, "min_epochs": 3}


class Recorder(Callback):
    """Records the weights after each optimizer step of each phase, as the optimizer leaves them."""

    def __init__(self):
        self.steps, self._seen = {}, 0

    def on_train_epoch_start(self, trainer, module):
        self._seen = 0 if module.phase not in self.steps else self._seen
        self.steps.setdefault(module.phase, [])

    def on_train_batch_end(self, trainer, module, *_):
        done = module.lr_schedulers().last_epoch
        if done > self._seen:
            self._seen = done
            state = {name: tensor.double() for name, tensor in module.state_dict().items()}
            self.steps[module.phase].append(state)

    def mean(self, phase, number):
        last = self.steps[phase][-number:]
        return {name: sum(state[name] for state in last) / number for name in last[0]}


def assert_mean(found, expected, *, all_rows=False):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        # Embedding rows that are not trained only decay, by 1e-5 per step, and have the values of the last step.
        decay = 1e-4 if "word_embeddings" in name and not all_rows else 0.0
        torch.testing.assert_close(
            found[name].double(), weight, rtol=decay, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def saved_weights(folder):
    return {f"classifier.{name}": tensor for name, tensor in load_classifier(folder / "model").state_dict().items()}


@pytest.mark.parametrize(
    ("settings", "number"),
    [({}, 7), ({"accumulate_grad_batches": 3}, 3), ({"precision": "bf16-mixed"}, 7), ({"max_epochs": 1}, 4)],
    ids=["steps", "accumulated", "bfloat16", "one epoch"],
)
def test_a_fit_ends_with_the_mean_of_its_last_weights(tiny_task, tmp_path, settings, number):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, [recorder, AveragedWeights(HALF), SaveModelFolder()], **settings)
    weights = fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert_mean(weights, recorder.mean((0, None), number))
    assert differences(weights, {k: v.float() for k, v in recorder.steps[0, None][-1].items()}) != []
    assert differences(best_weights(trainer), weights) == []
    assert differences(saved_weights(tmp_path), weights) == []


def test_a_tenth_of_the_steps_is_averaged_and_at_least_one(tiny_task, tmp_path):
    for name, epochs, number in (("one", 1, 1), ("several", 3, 2)):
        recorder = Recorder()
        trainer = make_trainer(tmp_path / name, [recorder, AveragedWeights()], max_epochs=epochs)
        weights = fit(trainer, tiny_task.finetuning(), tiny_task.data())
        assert_mean(weights, recorder.mean((0, None), number))


def test_the_weights_of_the_loss_are_averaged(tiny_task, tmp_path):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, [recorder, AveragedWeights(HALF), SaveModelFolder()])
    module = tiny_task.distillation(loss=WeightedSum([SoftTargets(), Projected()], [1.0, 0.5]))
    weights = fit(trainer, module, tiny_task.data())
    assert_mean(weights, recorder.mean((0, None), 7))
    saved = {f"loss.{name}": tensor for name, tensor in load_file(tmp_path / "loss.safetensors").items()}
    assert saved
    assert differences(saved, {name: weights[name] for name in saved}) == []


@pytest.mark.usefixtures("unscored")
def test_no_epoch_is_chosen(tiny_task, tmp_path):
    scored, averaged = Scored(0.9, 0.8, 0.2, 0.1), AveragedWeights(HALF)
    trainer = make_trainer(tmp_path, [scored, averaged], max_epochs=4, patience=1)
    weights = fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert len(scored.weights) == 4  # not stopped
    tracker = trainer.checkpoint_callback
    assert tracker.best_model_score == pytest.approx(0.1)
    assert differences(best_weights(trainer), weights) == []
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert float(trainer.callback_metrics["val/score"]) == pytest.approx(0.1)
    # The last validation had the averaged weights.
    assert differences(scored.weights[-1], weights) == []
    assert averaged.is_done


def test_the_last_score_is_that_of_the_averaged_weights(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [AveragedWeights(HALF), SaveModelFolder()])
    module = tiny_task.finetuning()
    fit(trainer, module, tiny_task.data())
    last = module.val_scores[-1][1]
    again = tiny_task.finetuning(model=tmp_path / "model")
    (found,) = make_trainer(tmp_path / "again").validate(again, tiny_task.data(), verbose=False)
    assert found["val/score"] == pytest.approx(last, abs=1e-6)


def averaged_fit(task, folder, *more, path=None, accumulate=1, first=False):
    """A distillation with averaged weights; the other callbacks are before or after `AveragedWeights`."""
    averaged = [AveragedWeights(HALF)]
    trainer = make_trainer(
        folder, [*more, *averaged] if first else [*averaged, *more], accumulate_grad_batches=accumulate
    )
    return trainer, fit(trainer, task.distillation(), task.data(), path)


class StopFirst(Callback):
    """`StopAt` that is called before the callbacks that are listed after it."""

    def __init__(self, path, point):
        self._stop_at = StopAt(path, point)

    def on_train_batch_end(self, trainer, *more):
        self._stop_at.on_train_batch_end(trainer, *more)


@pytest.mark.parametrize("kind", [StopAt, pytest.param(StopFirst, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("accumulate", "point"),
    [
        *((1, point) for point in [("step", 3), ("step", 7), ("step", 8), ("step", 11), ("step", 14), ("val", 14)]),
        *((2, point) for point in [("batch", 4), ("batch", 9), ("batch", 12), ("batch", 14)]),
    ],
)
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_fit_stopped_anywhere_resumes_to_the_same_bits(whole_fits, tiny_task, tmp_path, accumulate, point, kind):
    if kind is StopFirst and point[0] == "val":
        pytest.skip("it stops after batches")
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        averaged_fit(tiny_task, tmp_path, kind(path, point), accumulate=accumulate, first=True)
    trainer, weights = averaged_fit(tiny_task, tmp_path, path=path, accumulate=accumulate)
    whole, expected = whole_fits[accumulate]
    assert differences(weights, expected) == []
    assert differences(best_weights(trainer), best_weights(whole)) == []
    assert trainer.checkpoint_callback.best_model_score == whole.checkpoint_callback.best_model_score


@pytest.fixture(scope="module")
def whole_fits(tiny_task, tmp_path_factory):
    return {
        accumulate: averaged_fit(tiny_task, tmp_path_factory.mktemp("whole"), accumulate=accumulate)
        for accumulate in (1, 2)
    }


def rewound(task, folder, *more, path=None, order=1):
    method = [AveragedWeights(HALF), Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(2), SaveModelFolder()]
    module = task.distillation()
    trainer = make_trainer(folder, [*more, *method[::order]], **METHOD)
    weights = fit(trainer, module, task.data(), path)
    return trainer, module, weights


@pytest.fixture(scope="module")
def whole_rewound(tiny_task, tmp_path_factory):
    recorder, students = Recorder(), []

    def spy(teacher, batches, scores, distilled, reduction, **more):
        students.append({name: tensor.clone() for name, tensor in distilled.student.state_dict().items()})
        return score_units(teacher, batches, scores, distilled, reduction, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("callbacks.sparsification.score_units", spy)
        found = rewound(tiny_task, folder := tmp_path_factory.mktemp("rewound"), recorder)
    return folder, *found, recorder, students


def test_both_phases_of_a_rewound_fit_are_averaged(whole_rewound):
    folder, trainer, _, weights, recorder, students = whole_rewound
    assert_mean(weights, recorder.mean((2, None), 7))
    assert differences(saved_weights(folder), weights) == []
    assert differences(best_weights(trainer), weights) == []
    # The teacher was scored against the averaged trial student.
    (student,) = students
    assert_mean({f"classifier.{name}": tensor for name, tensor in student.items()}, recorder.mean((0, 2), 7))


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        *((StopAt, point) for point in [("step", 12), ("step", 14), ("epoch", 1), ("step", 15), ("step", 24)]),
        # Before the mean of the trial is in place, and before the mean of the trial is discarded.
        *((StopFirst, point) for point in [("step", 14), ("step", 15), ("step", 28)]),
    ],
)
@pytest.mark.parametrize("order", [1, pytest.param(-1, marks=pytest.mark.slow)])
def test_a_rewound_fit_resumes_to_the_same_bits(whole_rewound, tiny_task, tmp_path, kind, point, order):
    _, whole, module, expected, *_ = whole_rewound
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        rewound(tiny_task, tmp_path, kind(path, point), order=order)
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    trainer, again, weights = rewound(tiny_task, tmp_path, path=path, order=order)
    assert differences(weights, expected) == []
    assert differences(best_weights(trainer), best_weights(whole)) == []
    assert again.teacher_identity() == module.teacher_identity()


def test_whole_steps_are_averaged(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")
    for accumulate, number in ((1, 7), (3, 3)):
        recorder = Recorder()
        trainer = make_trainer(
            tmp_path / str(accumulate),
            [CUDAGraphs(), recorder, AveragedWeights(HALF)],
            accumulate_grad_batches=accumulate,
        )
        weights = fit(trainer, tiny_task.finetuning(), tiny_task.data())
        assert_mean(weights, recorder.mean((0, None), number), all_rows=True)


def test_a_second_fit_is_averaged_anew(tiny_task, tmp_path):
    averaged = AveragedWeights(HALF)
    fits = []
    for name in ("one", "two"):
        trainer = make_trainer(tmp_path / name, [averaged])
        fits.append(fit(trainer, tiny_task.distillation(), tiny_task.data()))
    assert differences(*fits) == []


def test_a_fast_run_works(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [AveragedWeights()], fast_dev_run=True)
    fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert trainer.global_step == 1


def test_without_validation_the_averaged_weights_are_saved(tiny_task, tmp_path):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, [recorder, AveragedWeights(HALF), SaveModelFolder()], limit_val_batches=0)
    fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert_mean(saved_weights(tmp_path), recorder.mean((0, None), 7))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_check_interval": 3}, "no validation follows the last batch, as an epoch has 7 batches"),
        ({"max_epochs": 3, "check_val_every_n_epoch": 2}, "no validation follows the last batch"),
        ({"max_epochs": 4, "max_steps": 10}, "trainer.max_steps is 10, which ends the fit within an epoch"),
        ({"val_check_interval": 4, "check_val_every_n_epoch": None}, "no validation follows the last batch"),
    ],
)
def test_a_fit_without_a_last_validation_is_refused_before_its_first_step(tiny_task, tmp_path, settings, message):
    trainer = make_trainer(tmp_path, [AveragedWeights()], **settings)
    with pytest.raises(ValueError, match=message):
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert trainer.global_step == 0


@pytest.mark.parametrize(
    "settings",
    [{"val_check_interval": 7, "check_val_every_n_epoch": None}, {"max_steps": 7}, {"check_val_every_n_epoch": 2}],
)
def test_other_fits_with_a_last_validation_work(tiny_task, tmp_path, settings):
    trainer = make_trainer(tmp_path, [AveragedWeights()], **settings)
    weights = fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert differences(best_weights(trainer), weights) == []


def test_a_fit_that_ends_early_is_told(tiny_task, tmp_path):
    class Stopping(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = True

    trainer = make_trainer(tmp_path, [AveragedWeights(), Stopping()])
    with pytest.raises(ValueError, match="the fit ended after step 1 of 14, so that its last steps were not averaged"):
        fit(trainer, tiny_task.finetuning(), tiny_task.data())


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ([], r"averaged from step 8 on, but the checkpoint of step 10 lacks their mean"),
        ([AveragedWeights(0.2)], r"AveragedWeights.fraction is 0.5 but the checkpoint was made with 0.2"),
    ],
)
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_another_fits_checkpoint_is_refused(tiny_task, tmp_path, before, message):
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        fit(make_trainer(tmp_path, [*before, StopAt(path, ("step", 10))]), tiny_task.distillation(), tiny_task.data())
    with pytest.raises(ValueError, match=message):
        averaged_fit(tiny_task, tmp_path, path=path)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match="give a fraction of the steps in"):
        AveragedWeights(fraction)


def test_a_foreign_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match="AveragedWeights needs a ClassificationModule, got LightningModule"):
        AveragedWeights().setup(make_trainer(tmp_path), LightningModule(), "fit")
