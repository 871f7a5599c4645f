import pytest
import torch
from pytorch_lightning import LightningModule
from safetensors.torch import load_file

from callbacks import LayerDropping, Pruning, TeacherSparsification
from callbacks.scoring import scoring_batches
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers, kept_units
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.losses.hidden_states import HiddenStates
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.pruning import choose_units
from stark.scores.knowledgeableness import knowledgeableness
from stark.scores.magnitude import Magnitude
from stark.scores.unit_scores import UnitScores
from tests.tasks import differences, fit, make_trainer
from tests.tiny import GOLDEN_CASES, golden, golden_masks, lowest_masks, scores_against, tiny_batch, tiny_classifier

NO_STEP = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0}
LAMS = ["0.0", "0.25", "0.5", "0.75", "1.0"]


def golden_pruned_student(name):
    """The teacher pruned to 70 % as in the released code: a block of fewer than eight neurons adds nothing."""
    case = golden(name)
    heads, neurons = golden_masks(case, "70", rounded=True)
    student = shrink_(case.teacher, UnitMasks(heads, [mask & (mask.sum() >= 8) for mask in neurons]))
    for layer in encoder_layers(student):
        for linear in (layer.attention_output, layer.ffn_out):
            if linear.in_features == 0:
                torch.nn.init.zeros_(linear.bias)
    for number, batch in enumerate(case.batches):
        with torch.no_grad():
            logits = classify(student, batch)
        torch.testing.assert_close(logits, case.tensors[f"pruned_student/70/logits/{number}"], rtol=0, atol=1e-12)
    return student


@pytest.mark.parametrize("which", ["dropped", "pruned70"])
@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_scores_rankings_and_maps_are_the_released_codes(name, which):
    case = golden(name)
    student = case.student if which == "dropped" else golden_pruned_student(name)
    scores = scores_against(case.teacher, student, case.batches, SoftTargets(), "batch")
    normalized = {loss: dict(zip(("head", "neuron"), scores.normalized(loss), strict=True)) for loss in scores.heads}
    raw = {"head": scores.heads, "neuron": scores.neurons}
    for lam in LAMS:
        key, sparsity_map = f"sparsify/{which}/{lam}", case.expected["sparsify"][f"{which}/{lam}"]["sparsity_map"]
        for kind in ("head", "neuron"):
            mixed = knowledgeableness(normalized["expressiveness"][kind], normalized["friendliness"][kind], float(lam))
            for found, golden_name in (
                (raw[kind]["expressiveness"], "expressive_raw"),
                (raw[kind]["friendliness"], "friendly_raw"),
                (normalized["expressiveness"][kind], "expressive"),
                (normalized["friendliness"][kind], "friendly"),
                (mixed, "score"),
            ):
                expected = case.tensors[f"{key}/{kind}_{golden_name}"]
                torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-11)
            order = torch.stack([torch.argsort(score, descending=True, stable=True) for score in mixed])
            assert torch.equal(order, case.tensors[f"{key}/{kind}_indices"])
        for level, dropped in sparsity_map.items():
            masks = lowest_masks(scores, float(lam), int(level) / 100)
            for kind, layers in zip(("head", "neuron"), masks, strict=True):
                counts = [int((~mask).sum()) for mask in layers]
                assert counts == [dropped[kind].get(str(n), 0) for n in range(len(counts))], (lam, level, kind)


def test_a_loss_of_layers_makes_friendliness_in_a_fit_without_a_trial(tiny_task, tmp_path):
    module = tiny_task.distillation(student=tiny_task.encoder, loss=HiddenStates())
    data = tiny_task.data()
    data.setup("fit")
    batches = list(scoring_batches(data, "selection", "example", torch.device("cpu")))
    loss = HiddenStates()
    loss.prepare_(module.student, module.teacher)
    expected = scores_against(module.teacher, module.student, batches, loss)
    fit(make_trainer(tmp_path, [TeacherSparsification(0.5, 0.3)], **NO_STEP), module, data)
    found = stored_scores(tiny_task, tmp_path)
    assert torch.equal(torch.cat(found.neurons["friendliness"]), torch.cat(expected.neurons["friendliness"]))


def test_the_temperature_and_weight_of_the_module_make_friendliness(tiny_task, tmp_path):
    module = tiny_task.distillation(student=tiny_task.encoder, temperature=4.0, distillation_weight=0.9)
    data = tiny_task.data()
    data.setup("fit")
    batches = list(scoring_batches(data, "selection", "example", torch.device("cpu")))
    expected = scores_against(module.teacher, module.student, batches, SoftTargets(4.0, 0.9))
    fit(make_trainer(tmp_path, [TeacherSparsification(0.5, 0.3)], **NO_STEP), module, data)
    found = stored_scores(tiny_task, tmp_path)
    assert torch.equal(torch.cat(found.neurons["friendliness"]), torch.cat(expected.neurons["friendliness"]))


def stored_scores(task, folder):
    losses = ["expressiveness", "friendliness"]
    return UnitScores.load(folder / "teacher_scores.safetensors", load_classifier(task.teacher), losses)


def sparse_teacher(task, folder, callback):
    """Sparsify the teacher before training, and return the module."""
    module = task.distillation(student=task.encoder)
    fit(make_trainer(folder, [callback], **NO_STEP), module, task.data())
    return module


def test_another_lam_and_sparsity_are_cut_from_stored_scores_without_scoring(tiny_task, tmp_path, monkeypatch):
    scored = sparse_teacher(tiny_task, tmp_path / "scored", TeacherSparsification(0.2, 0.6))
    sparse_teacher(tiny_task, tmp_path / "first", TeacherSparsification(0.9, 0.3))
    monkeypatch.setattr("callbacks.sparsification.score_units", None)
    file = str(tmp_path / "first" / "teacher_scores.safetensors")
    cut = sparse_teacher(tiny_task, tmp_path / "cut", TeacherSparsification(0.2, 0.6, scores=file))
    assert kept_units(cut.teacher) == kept_units(scored.teacher)
    assert differences(cut.teacher.state_dict(), scored.teacher.state_dict()) == []


def test_another_score_takes_the_place_of_lam(tiny_task, tmp_path):
    module = sparse_teacher(tiny_task, tmp_path, TeacherSparsification(None, 0.5, score=Magnitude()))
    expected = load_classifier(tiny_task.teacher)
    masks = choose_units(expected, Magnitude(), None, 0.5)
    assert kept_units(module.teacher) == kept_units(shrink_(expected, masks))
    assert load_file(tmp_path / "teacher_scores.safetensors") == {}
    for lam, score in ((None, None), (0.5, Magnitude())):
        with pytest.raises(ValueError, match="give one of them and set the other to null"):
            TeacherSparsification(lam, 0.5, score=score)


def test_scores_file_and_teacher_folder_are_complete(tiny_task, tmp_path):
    module = sparse_teacher(tiny_task, tmp_path, TeacherSparsification(0.5, 0.5))
    tensors = load_file(tmp_path / "teacher_scores.safetensors")
    losses = ("expressiveness", "friendliness")
    assert tensors.keys() == {
        f"{kind}/{loss}/{form}/{layer}"
        for kind in ("heads", "neurons")
        for loss in losses
        for form in ("raw", "normalized")
        for layer in range(4)
    }
    for key, tensor in tensors.items():
        if "normalized" in key:
            raw = tensors[key.replace("normalized", "raw")]
            torch.testing.assert_close(tensor, raw / (raw.norm() + 1e-7))
    saved = load_classifier(tmp_path / "teacher", label_names=module.label_names, new_head=False)
    assert kept_units(saved) == kept_units(module.teacher)
    assert differences(saved.state_dict(), module.teacher.state_dict()) == []
    assert sum(len(heads) for heads in kept_units(saved).heads) == 8
    assert ModelInputs.read(saved.config).texts == ("sentence",)


def test_scores_that_are_not_this_teachers_are_refused(tiny_task, tmp_path):
    scores = scores_against(tiny_classifier(), tiny_classifier(), [tiny_batch()], SoftTargets())
    scores.save(tmp_path / "other")
    with pytest.raises(ValueError, match="score this model, or cut the one that was scored"):
        sparse_teacher(tiny_task, tmp_path, TeacherSparsification(0.5, 0.5, scores=str(tmp_path / "other")))


@pytest.mark.parametrize("shaping", [Pruning(0.5), LayerDropping(2)], ids=["pruning", "layer_dropping"])
def test_a_student_that_was_not_distilled_yet_is_refused(tiny_task, tmp_path, shaping):
    for callbacks in ([shaping, TeacherSparsification(0.5, 0.5)], [TeacherSparsification(0.5, 0.5), shaping]):
        with pytest.raises(ValueError, match=r"add callbacks\.Rewinding for a trial distillation"):
            fit(make_trainer(tmp_path, callbacks), tiny_task.distillation(), tiny_task.data())


def test_foreign_modules_and_data_are_refused(tiny_task, tmp_path):
    for module, name in ((LightningModule(), "LightningModule"), (tiny_task.finetuning(), "FinetuningModule")):
        with pytest.raises(TypeError, match=f"needs a DistillationModule, got {name}"):
            TeacherSparsification(0.5, 0.5).setup(make_trainer(tmp_path), module, "fit")
    data = tiny_task.data()
    data.setup("fit")
    trainer = make_trainer(tmp_path, [TeacherSparsification(0.5, 0.5)])
    with pytest.raises(TypeError, match=r"has no scoring_dataloader\(split, grouped\)"):
        trainer.fit(tiny_task.distillation(), data.train_dataloader(), data.val_dataloader())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"sparsity": 1.0, "lam": 0.5}, "sparsity is 1"), ({"sparsity": 0.5, "lam": 2}, "lam is 2")],
)
def test_settings_out_of_range_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        TeacherSparsification(**settings)
