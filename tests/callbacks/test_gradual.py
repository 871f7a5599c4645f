"""Gradual cuts: shapes of the schedule, the bits of a cut at once and of resumed fits, and what counts as best."""

import itertools
import logging
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, LightningModule

from callbacks import (
    AveragedWeights,
    Compilation,
    CUDAGraphs,
    EpochLines,
    GradualPruning,
    Pruning,
    Rewinding,
    SaveModelFolder,
)
from stark.budgets.budget import Budget
from stark.encoders.layers import kept_units
from stark.encoders.units import UnitMasks
from stark.losses.attention_maps import AttentionMaps
from stark.losses.hidden_states import HiddenStates
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier
from stark.schedules.gradual import gradual_sparsities
from stark.scores.friendliness import Friendliness
from stark.scores.imitation import Imitation
from stark.scores.magnitude import Magnitude
from tests.stark.forward.test_replaying import Remember
from tests.tasks import Scored, StopAt, Stopped, best_weights, differences, fit, make_trainer

# Seven batches per epoch: in two epochs three cuts over a half are made after steps 2, 5 and 7.
GRADUAL = {"sparsity": 0.75, "cuts": 3, "fraction": 0.5}
AT_ONCE = {"cuts": 1, "fraction": 1e-6}


class Shapes(Callback):
    """Records the numbers of heads and neurons with which each batch is trained."""

    def __init__(self):
        self.found = []

    def on_before_zero_grad(self, trainer, module, optimizer):
        kept = kept_units(module.classifier)
        self.found.append((sum(map(len, kept.heads)), sum(map(len, kept.neurons))))


def gradual_fit(task, folder, *more, path=None, settings=GRADUAL, module=None, **trained):
    module = task.distillation() if module is None else module
    trainer = make_trainer(folder, [GradualPruning(**settings), *more], **trained)
    return trainer, module, fit(trainer, module, task.data(), path)


def test_each_cut_leaves_what_the_schedule_says(tiny_task, tmp_path):
    shapes = Shapes()
    gradual_fit(tiny_task, tmp_path, shapes, SaveModelFolder())
    whole = kept_units(load_classifier(tiny_task.teacher))
    heads, neurons = (sum(map(len, layers)) for layers in (whole.heads, whole.neurons))
    wanted = [0.0, *gradual_sparsities(0.75, 3)]
    for number, found in enumerate(shapes.found):
        sparsity = wanted[sum(number >= step for step in (2, 5, 7))]
        assert found[0] == heads - round(sparsity * heads)
        assert abs(found[1] - (1 - sparsity) * neurons) <= 4 * len(whole.heads)  # rounded to multiples of 8
    saved = kept_units(load_classifier(tmp_path / "model"))
    assert (sum(map(len, saved.heads)), sum(map(len, saved.neurons))) == shapes.found[-1]


def test_units_are_never_revived(tiny_task, tmp_path):
    seen = []

    class Kept(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            seen.append(kept_units(module.classifier))

    gradual_fit(tiny_task, tmp_path, Kept())
    assert len(set(seen)) == 4
    for before, after in itertools.pairwise(seen):
        after.masks_within(before)  # raises if a unit is new


@pytest.mark.parametrize("more", [{}, {"refit": True}, {"score": Magnitude(), "round_to": 1}], ids=str)
def test_one_cut_before_the_first_step_gives_the_bits_of_pruning(tiny_task, tmp_path, more):
    _, _, found = gradual_fit(tiny_task, tmp_path / "gradual", settings={"sparsity": 0.5, **AT_ONCE, **more})
    trainer = make_trainer(tmp_path / "pruned", [Pruning(0.5, **more)])
    assert differences(found, fit(trainer, tiny_task.distillation(), tiny_task.data())) == []


def test_units_may_be_scored_by_the_distillation_loss(tiny_task, tmp_path):
    loss = WeightedSum([SoftTargets(), HiddenStates()], [1.0, 1.0])
    kept = []
    for score in (None, Imitation()):
        module = tiny_task.distillation(loss=loss)
        gradual_fit(tiny_task, tmp_path / str(score), settings={**GRADUAL, "score": score}, module=module)
        kept.append(kept_units(module.classifier))
    assert kept[0].neurons != kept[1].neurons
    with pytest.raises(ValueError, match="compares with a teacher, and this fit has none"):
        gradual_fit(
            tiny_task, tmp_path / "alone", settings={**GRADUAL, "score": Imitation()}, module=tiny_task.finetuning()
        )


def test_a_budget_gets_the_sizes_of_the_uncut_model(tiny_task, tmp_path):
    sizes = []

    class Sizes(Budget):
        def masks(self, values, model, sparsity):
            kept = kept_units(model)
            assert [len(units) for units in kept.heads] == [len(units) for units in values.heads]
            sizes.append([int(torch.isfinite(units).sum()) for units in values.heads])
            # The first heads and neurons of each layer.
            first = [[torch.arange(len(units)) < len(units) * (1 - sparsity) for units in side] for side in values]
            return UnitMasks(*first)

    _, module, _ = gradual_fit(tiny_task, tmp_path, settings={**GRADUAL, "budget": Sizes()})
    assert sizes[0] == [4, 4, 4, 4]
    assert sizes[1] < sizes[0]
    assert kept_units(module.classifier).heads == ((0,), (0,), (0,), (0,))


@pytest.fixture(scope="module")
def whole_fits(tiny_task, tmp_path_factory):
    return {
        accumulate: gradual_fit(tiny_task, tmp_path_factory.mktemp("whole"), accumulate_grad_batches=accumulate)
        for accumulate in (1, 2)
    }


@pytest.mark.parametrize(
    ("accumulate", "point"),
    [
        *((1, point) for point in [("step", 2), ("val", 7), ("epoch", 0), ("step", 9)]),
        *((2, point) for point in [("batch", 2), ("batch", 7), ("batch", 8), ("batch", 9)]),
    ],
)
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_fit_stopped_anywhere_resumes_to_the_same_bits(whole_fits, tiny_task, tmp_path, accumulate, point):
    path, settings = tmp_path / "stopped.ckpt", {"accumulate_grad_batches": accumulate}
    with pytest.raises(Stopped):
        gradual_fit(tiny_task, tmp_path, StopAt(path, point), **settings)
    trainer, _, weights = gradual_fit(tiny_task, tmp_path, path=path, **settings)
    whole, _, expected = whole_fits[accumulate]
    assert differences(weights, expected) == []
    assert differences(best_weights(trainer), best_weights(whole)) == []


@pytest.mark.usefixtures("unscored")
def test_only_the_cut_model_counts_and_early_stopping_waits_for_it(tiny_task, tmp_path):
    # The cuts end in epoch 3 of 8: scores before are not compared; then two without a better one end the fit.
    scored = Scored(0.9, 0.8, 0.7, 0.3, 0.4, 0.2, 0.1, 0.0)
    trainer, _, _ = gradual_fit(tiny_task, tmp_path, scored, max_epochs=8, patience=2)
    assert len(scored.weights) == 7
    assert trainer.checkpoint_callback.best_model_score == pytest.approx(0.4)
    assert differences(best_weights(trainer), scored.weights[4]) == []


@pytest.mark.usefixtures("unscored")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("point", [("step", 12), ("epoch", 4)])
def test_a_resumed_fit_stops_where_the_unbroken_one_does(tiny_task, tmp_path, point):
    scores, settings = [0.9, 0.8, 0.7, 0.3, 0.4, 0.2, 0.1, 0.0], {"max_epochs": 8, "patience": 2}
    with pytest.raises(Stopped):
        gradual_fit(tiny_task, tmp_path, Scored(*scores), StopAt(tmp_path / "stopped.ckpt", point), **settings)
    scored = Scored(*scores[(1 if point[0] == "step" else 5) :])
    trainer, _, _ = gradual_fit(tiny_task, tmp_path, scored, path=tmp_path / "stopped.ckpt", **settings)
    assert trainer.current_epoch == 7
    assert trainer.checkpoint_callback.best_model_score == pytest.approx(0.4)


@pytest.mark.usefixtures("unscored")
def test_lines_tell_the_cuts_and_compare_only_what_counts(tiny_task, tmp_path, capsys):
    scored = Scored(0.9, 0.8, 0.3, 0.4)
    gradual_fit(tiny_task, tmp_path, scored, EpochLines(), max_epochs=4)
    lines = [line.split(", loss")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert lines == [
        "epoch 1 of 4: score 0.9000, 1 of 3 cuts",
        "epoch 2 of 4: score 0.8000, 2 of 3 cuts",
        "epoch 3 of 4: score 0.3000, best 0.3000",
        "epoch 4 of 4: score 0.4000, best 0.4000",
    ]


def test_averaged_weights_begin_after_the_last_cut(tiny_task, tmp_path):
    averaged = AveragedWeights(0.3)
    trainer, module, weights = gradual_fit(tiny_task, tmp_path, averaged, SaveModelFolder())
    assert averaged.is_done
    assert differences(best_weights(trainer), weights) == []
    assert kept_units(load_classifier(tmp_path / "model")) == kept_units(module.classifier)


def test_whole_steps_are_recorded_again_after_each_cut(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")
    shapes = []

    class Recorded(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            kept = kept_units(module.classifier)
            shapes.append((sum(map(len, kept.neurons)), module.whole_steps.recordings))

    trainer = make_trainer(tmp_path, [CUDAGraphs(), GradualPruning(**GRADUAL), Recorded()], max_epochs=4)
    fit(trainer, tiny_task.distillation(), tiny_task.data())
    assert len({neurons for neurons, _ in shapes}) == 4
    after_cut = [now[1] for before, now in itertools.pairwise(shapes) if now[0] != before[0]]
    assert after_cut == [0, 0, 0]
    assert shapes[-1][1] > 0


def test_labels_alone_train_a_gradually_cut_model(tiny_task, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="pytorch_lightning.utilities.rank_zero"):
        _, module, _ = gradual_fit(tiny_task, tmp_path, module=tiny_task.finetuning(model=tiny_task.teacher))
    lines = [message for message in caplog.messages if message.startswith("GradualPruning")]
    assert len(lines) == 3
    assert lines[-1].startswith("GradualPruning: after step 7, requested sparsity 0.750; heads 0.750, neurons 0.7")
    assert sum(map(len, kept_units(module.classifier).heads)) == 4


def test_layers_are_compared_through_all_cuts(tiny_task, tmp_path):
    loss = WeightedSum([SoftTargets(), HiddenStates()], [1.0, 1.0])
    shapes = Shapes()
    gradual_fit(tiny_task, tmp_path, shapes, module=tiny_task.distillation(loss=loss))
    assert len(set(shapes.found)) == 4


def test_a_loss_that_needs_equal_heads_is_refused_before_the_first_step(tiny_task, tmp_path):
    module = tiny_task.distillation(loss=WeightedSum([SoftTargets(), AttentionMaps()], [1.0, 1.0]))
    trainer = make_trainer(tmp_path, [GradualPruning(**GRADUAL)])
    with pytest.raises(ValueError, match="AttentionMaps compares attention head by head"):
        fit(trainer, module, tiny_task.data())
    assert trainer.global_step == 0


@pytest.mark.parametrize(
    ("callback", "message"),
    [(Rewinding(1), "Rewinding goes back to the initial weights"), (Compilation(), "leave Compilation out")],
)
def test_callbacks_that_need_constant_shapes_are_refused(tiny_task, tmp_path, callback, message):
    with pytest.raises(ValueError, match=message):
        gradual_fit(tiny_task, tmp_path, callback)


def test_several_processes_are_refused(tiny_task):
    with pytest.raises(ValueError, match="changes shapes while it trains, which 2 processes cannot follow"):
        GradualPruning(0.5).setup(SimpleNamespace(world_size=2), tiny_task.finetuning(), "fit")


def test_a_fit_that_ends_before_the_last_cut_is_told(tiny_task, tmp_path):
    class Stopping(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 5

    with pytest.raises(ValueError, match="the fit ended after 1 of 3 cuts, with a larger model than was asked for"):
        gradual_fit(tiny_task, tmp_path, Stopping())


def test_a_fast_run_works(tiny_task, tmp_path):
    trainer, module, _ = gradual_fit(tiny_task, tmp_path, fast_dev_run=True)
    assert trainer.global_step == 1
    assert sum(map(len, kept_units(module.classifier).heads)) == 4


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_checkpoint_of_other_settings_is_refused(tiny_task, tmp_path):
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        gradual_fit(tiny_task, tmp_path, StopAt(path, ("step", 3)))
    with pytest.raises(ValueError, match=r"GradualPruning.cuts is 4 but the checkpoint was made with 3"):
        gradual_fit(tiny_task, tmp_path, path=path, settings={**GRADUAL, "cuts": 4})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"cuts": 0}, "cuts is 0: give at least 1"),
        ({"fraction": 1.0}, r"fraction is 1.0: give a fraction of the steps in \(0, 1\)"),
        ({"fraction": float("nan")}, "fraction is nan"),
        ({"score": Friendliness()}, "GradualPruning.score is Friendliness, which compares with a trial student"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GradualPruning(**{"sparsity": 0.5, **settings})


def test_a_foreign_module_is_refused(tmp_path):
    with pytest.raises(TypeError, match="GradualPruning needs a ClassificationModule, got LightningModule"):
        GradualPruning(0.5).setup(make_trainer(tmp_path), LightningModule(), "fit")


def test_a_second_fit_has_the_patience_of_its_own_trainer(tiny_task, tmp_path):
    gradual, found = GradualPruning(**GRADUAL), []
    for patience in (2, 5):
        trainer = make_trainer(tmp_path / str(patience), [gradual], patience=patience)
        fit(trainer, tiny_task.distillation(), tiny_task.data())
        found.append((trainer.early_stopping_callback.patience, trainer.checkpoint_callback.save_top_k))
    assert found == [(2, 1), (5, 1)]
