import math

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from callbacks import TeacherSparsification
from lightning_modules import DistillationModule
from stark.encoders.layers import encoder_layers, kept_units
from stark.losses.kl_divergence import KLDivergence
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.sample_encoder import save_sample_encoder
from tests.tasks import fit, make_trainer
from tests.tiny import GOLDEN_CASES, distillation_loss, golden, random_masks

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Answers(Callback):
    """Runs both models twice on a batch, and records whether they are in training mode."""

    def __init__(self):
        self.teacher, self.student, self.modes = [], [], set()

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == 3:
            state = torch.get_rng_state()
            self.teacher.append([module.ask(batch).logits for _ in range(2)])
            self.student.append([module(batch).detach() for _ in range(2)])
            torch.set_rng_state(state)
            modes = ({part.training for part in model.modules()} for model in (module.teacher, module.student))
            self.modes.add(tuple(frozenset(mode) for mode in modes))


class TrainLog(Callback):
    """Records loss, learning rate and gradient norm before clipping at each step."""

    def __init__(self):
        self.steps = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        norms = [p.grad.norm() for p in module.student.parameters() if p.grad is not None]
        self.steps.append({"lr": optimizer.param_groups[0]["lr"], "grad_norm": torch.stack(norms).norm().item()})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps[-1]["loss"] = outputs["loss"].item()


def first_batch(data):
    data.setup("fit")
    return next(iter(data.val_dataloader()))


def test_the_student_has_dropout_and_the_teacher_has_none(tiny_task, tmp_path):
    answers = Answers()
    fit(make_trainer(tmp_path, [answers]), tiny_task.distillation(), tiny_task.data())
    assert len(answers.teacher) == 2  # the second epoch comes after a validation
    assert all(torch.equal(*pair) for pair in answers.teacher)
    assert not any(torch.equal(*pair) for pair in answers.student)
    assert answers.modes == {(frozenset({False}), frozenset({True}))}


def test_the_teacher_is_frozen_and_no_part_of_module_optimizer_and_checkpoint(tiny_task, tmp_path):
    module = tiny_task.distillation()
    teacher = {name: tensor.clone() for name, tensor in module.teacher.state_dict().items()}
    trainer = make_trainer(tmp_path, max_epochs=1)
    fit(trainer, module, tiny_task.data())
    of_teacher = {id(parameter) for parameter in module.teacher.parameters()}
    learning = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert not of_teacher & ({id(parameter) for parameter in module.parameters()} | learning)
    assert len(learning) == len(list(module.student.parameters()))
    assert all(p.grad is None and not p.requires_grad for p in module.teacher.parameters())
    assert all(torch.equal(teacher[name], tensor) for name, tensor in module.teacher.state_dict().items())
    assert any(not torch.equal(teacher[name], tensor) for name, tensor in module.student.state_dict().items())
    checkpoint = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    assert checkpoint["state_dict"].keys() == {f"classifier.{name}" for name in module.student.state_dict()}
    assert module.state_dict().keys() == checkpoint["state_dict"].keys()
    assert checkpoint["teacher"].keys() == {"hash", "kept_units"}


def test_the_loss_has_the_modules_settings_or_is_given_whole(tiny_task):
    assert repr(tiny_task.distillation().loss) == repr(SoftTargets())
    module = tiny_task.distillation(temperature=3.0, distillation_weight=0.8)
    assert repr(module.loss) == repr(SoftTargets(3.0, 0.8))
    given = KLDivergence(4.0)
    assert tiny_task.distillation(loss=given).loss is given
    with pytest.raises(ValueError, match="loss is given with temperature"):
        tiny_task.distillation(loss=given, temperature=3.0)


def test_a_step_compares_what_the_two_models_give(tiny_task):
    module = tiny_task.distillation(temperature=3.0, distillation_weight=0.8).eval()
    batch = first_batch(tiny_task.data())
    student, teacher = (model(**{n: batch[n] for n in INPUTS}).logits for model in (module.student, module.teacher))
    expected = distillation_loss(
        student_logits=student, teacher_logits=teacher, labels=batch["labels"], temperature=3.0, weight=0.8
    )
    found = []
    module.log_loss = lambda loss, _: found.append(loss)
    module.training_step(batch, 0)
    torch.testing.assert_close(found[0], expected)


def test_the_student_comes_nearer_to_its_teacher(tiny_task, tmp_path):
    module = tiny_task.distillation(distillation_weight=1.0, learning_rate=3e-3)
    with torch.no_grad():
        module.student.classifier.bias[0] += 2
    data = tiny_task.data()
    data.setup("fit")

    def distance():
        module.student.eval()
        with torch.no_grad():
            gaps = [module(batch) - module.ask(batch).logits for batch in data.scoring_dataloader("train")]
        return torch.cat(gaps).abs().mean()

    before = distance()
    fit(make_trainer(tmp_path, max_epochs=4), module, tiny_task.data())
    assert distance() < 0.8 * before


def test_regression_is_distilled(tiny_task, tmp_path):
    data = tiny_task.data("stsb")
    torch.manual_seed(0)
    teacher = save_classifier(
        load_classifier(tiny_task.encoder, label_names=data.label_names),
        tmp_path / "teacher",
        load_tokenizer(tiny_task.encoder),
    )
    module = DistillationModule(str(teacher), str(teacher), data.label_names, data.metrics, learning_rate=1e-3)
    trainer = make_trainer(tmp_path, max_epochs=2)
    fit(trainer, module, data)
    assert {"val/pearson", "val/spearmanr", "val/score", "train/loss"} == set(trainer.callback_metrics)
    assert all(math.isfinite(value) for value in trainer.callback_metrics.values())


def test_a_shrunk_teacher_answers_like_the_masked_one_and_stays_frozen(tiny_task):
    module = tiny_task.distillation()
    masks = random_masks(module.teacher, empty_heads=1)
    module.shrink_teacher(masks)
    assert [layer.num_heads for layer in encoder_layers(module.teacher)] == [int(mask.sum()) for mask in masks[0]]
    assert not any(parameter.requires_grad for parameter in module.teacher.parameters())
    assert not any(part.training for part in module.teacher.modules())
    assert kept_units(module.student) != kept_units(module.teacher)


def test_models_that_do_not_belong_together_are_refused_in_one_line(tiny_task, tmp_path):
    def refused(message, **folders):
        with pytest.raises(ValueError, match=message) as error:
            tiny_task.distillation(**folders)
        assert "\n" not in str(error.value)

    other_words = save_sample_encoder(tmp_path / "words", ["other", "words"], hidden_size=32)
    refused("have different vocabularies", student=other_words)
    other_labels = save_classifier(
        load_classifier(tiny_task.encoder, label_names=["no", "yes"]),
        tmp_path / "labels",
        load_tokenizer(tiny_task.encoder),
    )
    labels = r"its classifier has the labels \['no', 'yes'\], not \['negative', 'positive'\]"
    refused(labels, student=other_labels)
    refused(labels, teacher=other_labels)
    refused("it has no trained classifier", teacher=tiny_task.encoder)
    refused("there is no such folder", teacher=tmp_path / "missing")
    cased = AutoTokenizer.from_pretrained(tiny_task.encoder, do_lower_case=False)
    other_case = save_classifier(load_classifier(tiny_task.teacher), tmp_path / "cased", cased)
    refused("the student's tokenizer lower-cases texts, the teacher's keeps their case", teacher=other_case)


def test_a_teacher_that_cannot_take_the_rows_is_refused_before_anything_is_scored(tiny_task, tmp_path):
    model = load_classifier(tiny_task.teacher)
    model.config.max_position_embeddings = 32
    table = model.bert.embeddings.position_embeddings
    table.weight = torch.nn.Parameter(table.weight[:32].detach())
    short = save_classifier(model, tmp_path / "short", load_tokenizer(tiny_task.teacher))
    module = tiny_task.distillation(teacher=short)
    trainer = make_trainer(tmp_path, [TeacherSparsification(0.5, 0.5)])
    with pytest.raises(ValueError, match=r"max_length is 128 but .*short has positions for 32 tokens: give"):
        fit(trainer, module, tiny_task.data())
    assert not (tmp_path / "teacher_scores.safetensors").exists()


def test_a_teacher_of_pairs_needs_the_segments_that_it_was_trained_on(tiny_task, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_task.teacher, model_input_names=["input_ids", "attention_mask"])
    student = save_classifier(load_classifier(tiny_task.teacher), tmp_path / "student", tokenizer)
    module = tiny_task.distillation(student=student)
    module.check_inputs(tiny_task.data())
    with pytest.raises(ValueError, match="other segment ids"):
        module.check_inputs(tiny_task.data("mrpc"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature is 0: give a number above 0"),
        ({"temperature": -1}, "temperature is -1: give a number above 0"),
        ({"distillation_weight": 1.1}, "weight is 1.1"),
        ({"distillation_weight": -0.1}, "weight is -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_task, settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_task.distillation(**settings)


class ReleasedAdamW(torch.optim.Optimizer):
    """The old AdamW of transformers: eps before the bias correction, decay after the update."""

    def __init__(self, groups, lr):
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                steps = state["steps"] = state.get("steps", 0) + 1
                for name, power, beta in (("mean", 1, 0.9), ("square", 2, 0.999)):
                    previous = state.get(name, torch.zeros_like(parameter))
                    state[name] = beta * previous + (1 - beta) * parameter.grad**power
                size = group["lr"] * math.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
                parameter -= size * state["mean"] / (state["square"].sqrt() + 1e-6)
                parameter -= group["lr"] * group["weight_decay"] * parameter
        return loss


class ReleasedModule(DistillationModule):
    def configure_optimizers(self):
        ours = super().configure_optimizers()
        groups = [{key: group[key] for key in ("params", "weight_decay")} for group in ours["optimizer"].param_groups]
        optimizer = ReleasedAdamW(groups, self.learning_rate)
        schedule = ours["lr_scheduler"]["scheduler"].lr_lambdas[0]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def golden_fit(case, clip, module_class, task, folder):
    """Train the golden student for six steps in float64, and return the log."""
    labels = [f"label{number}" for number in range(case.config["num_labels"])]
    for model, name in ((case.teacher, "teacher"), (case.student, "student")):
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        model.config.id2label = dict(enumerate(labels))
        save_classifier(model.float(), folder / name, load_tokenizer(task.encoder))  # golden weights are float32
    module = module_class(
        str(folder / "teacher"),
        str(folder / "student"),
        labels,
        ["pearson"] if len(labels) == 1 else ["accuracy"],
        learning_rate=1e-3,
        weight_decay=1e-2,
        warmup_proportion=1 / 3,
    )
    module.teacher.double()
    log = TrainLog()
    trainer = make_trainer(
        folder, [log], precision="64-true", gradient_clip_val=float(clip), limit_val_batches=0, max_epochs=2
    )
    batches = DataLoader(case.batches, batch_size=None)
    trainer.fit(module, batches, batches)
    return log.steps


@pytest.mark.parametrize("clip", ["5.0", "0.05"])
@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_six_steps_with_the_released_optimizer_are_those_of_the_released_code(name, clip, tiny_task, tmp_path):
    case = golden(name)
    steps = golden_fit(case, clip, ReleasedModule, tiny_task, tmp_path)
    for step, expected in zip(steps, case.expected["train"][clip], strict=True):
        assert step == pytest.approx(expected, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_six_steps_with_our_optimizer_come_near_the_released_code(name, tiny_task, tmp_path):
    """Torch's AdamW corrects the bias before it adds eps, which matters for small gradients."""
    case = golden(name)
    steps = golden_fit(case, "5.0", DistillationModule, tiny_task, tmp_path)
    for number, (step, expected) in enumerate(zip(steps, case.expected["train"]["5.0"], strict=True)):
        assert step["lr"] == pytest.approx(expected["lr"], abs=1e-18)
        # The first update has learning rate 0, so two steps have the initial weights.
        assert step["loss"] == pytest.approx(expected["loss"], rel=1e-12 if number < 2 else 1e-3)
        assert step["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-12 if number < 2 else 3e-2)
