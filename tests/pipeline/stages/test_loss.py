"""A user's own loss in a whole run: it is trained, and its trained parameters score the teacher's units."""

import json

import pytest
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import load_file

from cli import main
from pipeline.settings import DistillationSettings
from pipeline.stages.loss import loss_of, trained_loss
from stark.losses.dist import DIST
from stark.losses.hidden_states import HiddenStates
from stark.losses.kl_divergence import KLDivergence
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.runs import options, read

PLUGIN = """
import torch
import stark


class HiddenStates(stark.Loss):
    student_layers = teacher_layers = (-1,)

    def __init__(self, weight=0.5):
        super().__init__()
        self.weight = weight

    def prepare_(self, student, teacher):
        self.project = torch.nn.Linear(student.config.hidden_size, teacher.config.hidden_size)

    def forward(self, problem, student, teacher, batch, reduction="mean"):
        own, wanted = (outputs.hidden_states[-1][:, 0] for outputs in (student, teacher))
        match = (self.project(own) - wanted).square().mean(-1)
        loss = self.weight * match + problem.task_loss(student.logits, batch["labels"], "none")
        return loss.mean() if reduction == "mean" else loss
"""


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "run_losses.py"
    file.write_text(PLUGIN)
    return ["--plugins", str(file), "--distillation.loss", "run_losses.HiddenStates"]


@pytest.mark.slow  # tests/test_extending.py has a shorter one
def test_a_run_trains_and_scores_with_it(plugin, tiny_task, tmp_path):
    main(options(tiny_task, tmp_path, "--teacher.sparsities", "[0.2]", *plugin))
    run = tmp_path / "tiny"
    state = load_file(run / "trial/loss.safetensors")
    assert state.keys() == {"project.weight", "project.bias"}
    manifest = json.loads((run / "manifest.json").read_text())
    stages = manifest["stages"]
    assert "trial/loss.safetensors" in stages["trial"]["outputs"]
    assert stages["sparsify"]["settings"]["distillation.loss"] == "run_losses.HiddenStates"
    assert {model["folder"] for model in read(run)["models"]} > {"trial/model", "distill/0.5_0.2/model"}
    teacher, student = (load_classifier(run / name) for name in ("finetune/model", "trial/model"))
    loss = trained_loss(DistillationSettings(loss="run_losses.HiddenStates"), student, teacher, run / "trial")
    assert torch.equal(loss.project.weight, state["project.weight"])


def test_what_cannot_be_a_loss_is_told_before_anything_is_written(plugin, tiny_task, tmp_path, capsys):
    for given, message in (
        (["--distillation.loss", "stark.NoSuchLoss"], "NoSuchLoss"),
        (["--distillation.loss", "stark.StandardizedLogits"], "StandardizedLogits needs 3 classes or more"),
        (
            ["--distillation.loss", '{"class_path": "stark.HiddenStates", "init_args": {"layers": [9]}}'],
            "layers are [9], and the teacher has the layers 0 to",
        ),
        ([*plugin, "--baselines", "[kl_friendliness]"], "needs stark.SoftTargets"),
        ([*plugin, "--distillation.temperature", "3"], "distillation.loss is given together with"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(options(tiny_task, tmp_path, *given))
        assert stopped.value.code == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stark: error")]
        assert message in line
    assert not (tmp_path / "tiny").exists()


def test_settings_describe_it():
    assert repr(loss_of(DistillationSettings())) == repr(SoftTargets())
    assert repr(loss_of(DistillationSettings(temperature=4.0))) == repr(SoftTargets(4.0))
    parser = ArgumentParser()
    parser.add_class_arguments(DistillationSettings, "distillation")
    parts = [{"class_path": "stark.DIST", "init_args": {"weight": 0.8}}, {"class_path": "stark.HiddenStates"}]
    of_sum = {"losses": parts, "weights": [1.0, [10.0, 0.0]]}
    parsed = parser.parse_object({"distillation": {"loss": {"class_path": "stark.WeightedSum", "init_args": of_sum}}})
    settings = parser.instantiate(parsed).distillation
    assert repr(loss_of(settings)) == repr(WeightedSum([DIST(weight=0.8), HiddenStates()], [1.0, (10.0, 0.0)]))
    json.dumps(settings.loss)  # as the manifest of a run does after the loss was built
    described = {"class_path": "stark.KLDivergence", "init_args": {"temperature": 3.0}}
    assert repr(loss_of(DistillationSettings(loss=described))) == repr(KLDivergence(3.0))


def test_a_single_fit_trains_with_a_sum(tiny_task, tmp_path):
    described = {
        "class_path": "stark.WeightedSum",
        "init_args": {
            "losses": [{"class_path": "stark.ReverseKL"}, {"class_path": "stark.MiniLMv2"}],
            "weights": [1.0, [10.0, 0.0]],
            "schedule": "cosine",
        },
    }
    models = ["--model.teacher", str(tiny_task.teacher), "--model.student", str(tiny_task.teacher)]
    data = ["--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir), "--data.cache_dir", str(tiny_task.cache)]
    fast = ["--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false"]
    place = ["--trainer.default_root_dir", str(tmp_path / "fit")]
    main(
        [
            "fit",
            "--config",
            "configs/distill.yaml",
            *data,
            *models,
            *fast,
            *place,
            "--model.loss",
            json.dumps(described),
        ]
    )
    assert load_classifier(tmp_path / "fit/model").num_labels == 2
